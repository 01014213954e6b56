// Decides when scores count as a detection.

import {GraphcError, isWhole} from '../contract/manifest.js';

export class Trigger {
  /**
   * @param entry the decoder of a pipeline.manifest.json
   * @param call_s the duration of a call in seconds
   */
  constructor(entry, call_s) {
    const whole = (value, least) => isWhole(value, least, 1e6);
    const fits = whole(entry?.place, 0) && whole(entry.smoothing, 1) && whole(entry.patience, 1) && whole(entry.warm_up, 0);
    if (!fits || !Number.isFinite(entry.threshold) || !(entry.refractory_s >= 0))
      throw new GraphcError('not the manifest of a pipeline: its decoder is not valid');
    if (!(call_s > 0))
      throw new GraphcError("the duration of a frame is not known; set stream.frame_ms in the first stage's spec, and compile again");
    this.entry = entry;
    this.call_s = call_s;
    this.reset();
  }

  /** Begins another stream. */
  reset() {
    this.last = [];
    this.calls = 0;
    this.reached = 0;
    this.silent_until = 0;
  }

  /** Seconds from the start of the stream to the end of the last call. */
  get seconds() {
    return this.calls * this.call_s;
  }

  /** The mean of the last scores; those before the first count as 0. */
  get level() {
    return this.last.reduce((sum, one) => sum + one, 0) / this.entry.smoothing;
  }

  /** Takes the score of the next call. Returns whether it is a detection. */
  heard(score) {
    this.last.push(this.calls < this.entry.warm_up ? 0 : score);
    if (this.last.length > this.entry.smoothing) this.last.shift();
    this.calls += 1;
    this.reached = this.level >= this.entry.threshold ? this.reached + 1 : 0;
    if (this.reached < this.entry.patience || this.seconds < this.silent_until) return false;
    this.silent_until = this.seconds + this.entry.refractory_s;
    return true;
  }
}
