"""NeMo's mel spectrogram (AudioToMelSpectrogramPreprocessor, FilterbankFeatures) as it runs outside training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from graphc_passes._front_ends.front_end import Array, Framing, FrontEnd
from graphc_passes._front_ends.mel_filters import bins_of, mel_filters
from graphc_passes._front_ends.options import MOST_SAMPLES, WITHIN, KindOptions, Samples, Size, yaml_mapping
from graphc_passes._front_ends.spectrum import centred, fourier, power_of_two, window_of
from pydantic import Field

from graphc.api import PassConfig

TRAINING_ALONE = (
    "_target_",
    "cls",
    "params",
    "max_duration",
    "rng",
    "nb_augmentation_prob",
    "nb_max_freq",
    "use_grads",
)
SMALLEST = {"tiny": float(np.finfo(np.float32).tiny), "eps": float(np.finfo(np.float32).eps)}


EXTRACTORS = {"ParakeetFeatureExtractor": "per_feature", "NemotronAsrStreamingFeatureExtractor": "NA"}
OF_TRANSFORMERS = {
    "feature_size": "features",
    "sampling_rate": "sample_rate",
    "hop_length": "n_window_stride",
    "win_length": "n_window_size",
    "n_fft": "n_fft",
    "preemphasis": "preemph",
}


class FixedStatistics(PassConfig):
    fixed_mean: list[float]
    fixed_std: list[float]


class NemoMel(KindOptions):
    sample_rate: Samples = 16000
    window_size: float = Field(default=0.02, gt=0, le=10, description="seconds")
    window_stride: float = Field(default=0.01, gt=0, le=10, description="seconds")
    n_window_size: Size | None = Field(default=None, description="samples, instead of window_size")
    n_window_stride: Samples | None = Field(default=None, description="samples, instead of window_stride")
    window: Literal["hann", "hamming", "blackman", "bartlett", "none"] | None = "hann"
    normalize: str | FixedStatistics | None = Field(
        default="per_feature", description="NA, or fixed_mean and fixed_std of the training set"
    )
    n_fft: Size | None = None
    preemph: float | None = Field(default=0.97, ge=0, le=1)
    features: int = Field(default=64, ge=1, le=1000)
    lowfreq: float = Field(default=0.0, ge=0)
    highfreq: float | None = Field(default=None, gt=0)
    log: bool = True
    log_zero_guard_type: Literal["add", "clamp"] = "add"
    log_zero_guard_value: Annotated[float, Field(gt=0)] | Literal["tiny", "eps"] = 2.0**-24
    dither: float = Field(default=1e-5, description="used in training only")
    pad_to: int = Field(default=16, description="used in batches only")
    pad_value: float = Field(default=0.0, description="used in batches only")
    frame_splicing: int = Field(default=1, description="only 1")
    exact_pad: bool = Field(default=False, description="only false")
    mag_power: float = 2.0
    mel_norm: Literal["slaney"] | None = "slaney"

    @classmethod
    def kind(cls) -> str:
        return "nemo_mel"

    @classmethod
    def from_text(cls, text: str) -> Mapping[str, Any]:
        """The options in a NeMo configuration, in only its section ``preprocessor``, or in one of transformers."""
        found = yaml_mapping(text)
        if "feature_extractor_type" in found:
            return of_transformers(found)
        for key in ("model", "preprocessor"):
            inner = found.get(key, found)
            found = inner if isinstance(inner, dict) else {}
        section = found
        if "features" not in section:
            raise ValueError("it has no section 'preprocessor' with 'features'")
        return {name: value for name, value in section.items() if name not in TRAINING_ALONE}

    def front_end(self) -> FrontEnd:
        """The front end that these options describe.

        Errors:
            PassError: an option that is impossible in a stream, or one that contradicts another.
        """
        self.refuse_what_no_stream_has()
        size = self.n_window_size or int(self.window_size * self.sample_rate)
        hop = self.n_window_stride or int(self.window_stride * self.sample_rate)
        fft = self.n_fft or power_of_two(size)
        if not 1 < fft <= MOST_SAMPLES or hop < 1:
            raise self.refuse(
                "window_size",
                f"frames of {size} samples (n_fft {fft}), {hop} apart",
                f"use 2 to {MOST_SAMPLES} samples a frame, for n_fft too, and a stride of at least one sample",
            )
        if fft < size:
            raise self.refuse("n_fft", f"{fft} is less than a window of {size} samples", "raise n_fft")
        high = self.highfreq or self.sample_rate / 2
        if not self.lowfreq < high <= self.sample_rate / 2:
            raise self.refuse("highfreq", f"the bands would run from {self.lowfreq:g} to {high:g} Hz", WITHIN)
        shape = "boxcar" if self.window in (None, "none") else str(self.window)
        guard = self.log_zero_guard_value
        front = FrontEnd(
            self.kind(),
            self.sample_rate,
            Framing(fft, hop, fft // 2, fft - hop - fft // 2),
            fourier(centred(window_of(shape, size, periodic=False), fft), fft),
            mel_filters(bins_of(self.sample_rate, fft), self.features, self.lowfreq, high, "slaney", self.mel_norm),
            power=2 if self.mag_power == 2.0 else 1,
            emphasis=self.preemph or 0.0,
            guard="add" if self.log_zero_guard_type == "add" else "max",
            floor=SMALLEST[guard] if isinstance(guard, str) else guard,
            logarithm=self.log,
            notes=self.notes(),
        )
        if isinstance(self.normalize, FixedStatistics):
            return front.normalised(*self.statistics(self.normalize))
        return front

    def notes(self) -> tuple[str, ...]:
        return (f"dither {self.dither:g} is left out: NeMo adds it in training only",) if self.dither else ()

    def statistics(self, given: FixedStatistics) -> tuple[Array, Array]:
        if len(given.fixed_mean) != self.features or len(given.fixed_std) != self.features:
            raise self.refuse(
                "normalize",
                f"{len(given.fixed_mean)} means and {len(given.fixed_std)} deviations for {self.features} features",
                "give one of each per feature",
            )
        return np.asarray(given.fixed_mean), np.asarray(given.fixed_std)

    def refuse_what_no_stream_has(self) -> None:
        if self.normalize in ("per_feature", "all_features"):
            raise self.refuse(
                "normalize",
                f"{self.normalize} needs the statistics of the whole utterance, which a stream does not have",
                "train with normalize: NA as NeMo's streaming models do, give fixed_mean and fixed_std, or set "
                "normalize: NA here and a running cmvn: {window: 600}",
            )
        if self.exact_pad:
            raise self.refuse("exact_pad", "true is not supported", "train and export with exact_pad: false")
        if self.frame_splicing != 1:
            raise self.refuse(
                "frame_splicing", f"{self.frame_splicing} is not supported, only 1", "stack frames in the model"
            )
        if self.mag_power not in (1.0, 2.0):
            raise self.refuse("mag_power", f"{self.mag_power:g} is neither 1 nor 2", "use 1 or 2")


def of_transformers(found: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options in a preprocessor_config.json of transformers.

    Errors:
        ValueError: the feature extractor is unknown, or rounds its mel filters.
    """
    extractor = found["feature_extractor_type"]
    if not isinstance(extractor, str) or extractor not in EXTRACTORS:
        raise ValueError(f"the extractor is {extractor}, and known are {', '.join(EXTRACTORS)}")
    if found.get("mel_filters_dtype", "float32") != "float32":
        raise ValueError(f"its filters are rounded to {found['mel_filters_dtype']}")
    options = {name: found[key] for key, name in OF_TRANSFORMERS.items() if key in found}
    return {**options, "normalize": EXTRACTORS[extractor]}
