"""One record of a compilation, as JSON and as one self-contained HTML page."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import jinja2

from graphc.build.plots import bar_plot, level_plot, line_plot
from graphc.manifest.make_manifest import to_json

FORMAT = "graphc.report/1"


@dataclass(frozen=True)
class Report:
    """The record of a compilation, which ``graphc.compile`` returns.

    ``data`` has the form of STEM.report.json (docs/report.md).
    """

    data: dict[str, Any]

    @property
    def up_to_date(self) -> bool:
        return bool(self.data.get("up_to_date", False))

    def json(self) -> str:
        return to_json(finite(self.data))

    def html(self) -> str:
        passes = self.data["passes"]
        plots = {
            "error": bar_plot(
                [(p["name"], p["max_abs"]) for p in passes], "largest |streamed − offline|", log=True, form=number
            ),
            "size": line_plot(
                [("source", self.data["source"]["bytes"]), *((p["name"], p["size_after"]) for p in passes)],
                "bytes of the model",
                form=human_bytes,
            ),
            "nodes": line_plot(
                [("source", self.data["source"]["nodes"]), *((p["name"], p["nodes_after"]) for p in passes)],
                "nodes of the graph",
                form=lambda v: f"{v:.0f}",
            ),
        }
        timed = {name: t["latency"]["p50_ms"] for name, t in self.data["targets"].items() if t["latency"]}
        if timed and self.data["latency"]:
            calls = [("onnxruntime", self.data["latency"]["p50_ms"]), *timed.items()]
            plots["targets"] = bar_plot(calls, "milliseconds of a call, median", form=lambda v: f"{v:.3f}")
        drift = self.data.get("drift")
        if drift is not None:
            plots["drift"] = level_plot(
                {name: o["error_db"] for name, o in drift["outputs"].items()},
                "level of the error over time",
                ("0", f"{drift['minutes']:g} minutes"),
            )
        return page("report.html.jinja").render(r=self.data, plots=plots)


@cache
def page(name: str, package: str = "graphc.build") -> jinja2.Template:
    """The template of an HTML page, compiled once.

    Args:
        package: the package that contains the template. The template may include others from ``graphc.build``.
    """
    places = [jinja2.PackageLoader(place, ".") for place in dict.fromkeys((package, "graphc.build"))]
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(places),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(bytes=human_bytes, number=number, seconds=lambda s: f"{s:.2f} s")
    return environment.get_template(name)


def finite(value: Any) -> Any:
    """The same data with NaN and Inf as strings, since JSON cannot represent them."""
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    if isinstance(value, dict):
        return {k: finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return value


def human_bytes(count: float) -> str:
    if count < 1000:
        return f"{count:.0f} B"
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 1000:
            return f"{count:.2f} {unit}"
    return f"{count:.2f} TB"


def number(value: float | None) -> str:
    if value is None:
        return "–"
    return "0" if value == 0 else f"{value:.3g}"
