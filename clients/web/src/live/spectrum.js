// A spectrum for display: decibels in bands whose width grows with the frequency.

const BANDS = 48;
const LOWEST_HZ = 60;
const COLUMNS_A_SECOND = 50;
const WINDOW_S = 0.032;
const QUIETEST_DB = -100;

export class Spectrum {
  constructor(rate) {
    this.hop = Math.max(1, Math.round(rate / COLUMNS_A_SECOND));
    this.size = Math.max(this.hop, Math.round(rate * WINDOW_S));
    const step = (0.45 * rate / LOWEST_HZ) ** (1 / (BANDS - 1));
    this.waves = Array.from({length: BANDS}, (_, band) => {
      const hz = LOWEST_HZ * step ** band;
      const length = Math.min(this.size, Math.round((2 * rate) / (hz * (step - 1))));
      const hann = Float32Array.from({length}, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / length));
      const wave = (turn) => hann.map((one, i) => (one * turn((2 * Math.PI * hz * i) / rate) * 4) / length);
      return [wave(Math.cos), wave(Math.sin)];
    });
    this.held = new Float32Array(this.size);
    this.fresh = 0;
  }

  /** Returns the columns that these samples complete, lowest band first. A full-scale sine has 0 dB in the middle of its
   *  band, and 5 dB less at the edge. */
  columns(samples) {
    const found = [];
    for (let at = 0; at < samples.length; ) {
      const some = Math.min(this.hop - this.fresh, samples.length - at);
      this.held.copyWithin(0, some);
      this.held.set(samples.subarray(at, at + some), this.size - some);
      at += some;
      this.fresh += some;
      if (this.fresh < this.hop) continue;
      this.fresh = 0;
      found.push(Float32Array.from(this.waves, ([real, imaginary]) => decibels(this.dot(real) ** 2 + this.dot(imaginary) ** 2)));
    }
    return found;
  }

  /** The dot product of a wave and the newest samples. */
  dot(wave) {
    const first = this.size - wave.length;
    let sum = 0;
    for (let i = 0; i < wave.length; i++) sum += wave[i] * this.held[first + i];
    return sum;
  }
}

function decibels(power) {
  return Math.max(QUIETEST_DB, 10 * Math.log10(power + 1e-20));
}
