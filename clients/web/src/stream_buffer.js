// One stream between its client and the calls: frames that wait for a call, frames that wait for the client.

import {Frames} from './frames.js';
import {GraphcError} from './contract/manifest.js';

export class StreamBuffer {
  /**
   * @param manifest of the compiled model
   * @param inputs, outputs the ports as one stream sees them, for calls of chunk frames
   * @param most the number of chunks that one call may take
   */
  constructor(manifest, inputs, outputs, chunk, most = 1) {
    if (!inputs.some((port) => !port.fixed)) throw new GraphcError('the manifest names no stream input');
    Object.assign(this, {manifest, inputs, outputs, chunk, most});
    this.streams = inputs.filter((port) => !port.fixed);
    this.waiting = new Map(inputs.map((port) => [port.name, new Frames(port)]));
    this.ready = new Map(outputs.map((port) => [port.name, new Frames(port)]));
    this.clear();
  }

  /** Forgets the stream. */
  clear() {
    this.statics = new Map();
    this.pushed = new Map(this.inputs.map((port) => [port.name, 0]));
    this.given = new Map(this.outputs.map((port) => [port.name, 0]));
    this.taken = new Map(this.outputs.map((port) => [port.name, 0]));
    for (const frames of [...this.waiting.values(), ...this.ready.values()]) frames.clear();
    this.cuts = new Map();
    this.fed = 0;
  }

  /** A copy of the buffers. */
  kept() {
    const copies = (frames) => new Map([...frames].map(([name, one]) => [name, one.copy()]));
    const counts = {pushed: new Map(this.pushed), given: new Map(this.given), taken: new Map(this.taken)};
    return {statics: new Map(this.statics), ...counts, fed: this.fed, waiting: copies(this.waiting), ready: copies(this.ready)};
  }

  /** Restores the buffers from a copy that `kept` made. */
  put_back(held) {
    for (const name of ['statics', 'pushed', 'given', 'taken']) this[name] = new Map(held[name]);
    for (const name of ['waiting', 'ready']) this[name] = new Map([...held[name]].map(([key, one]) => [key, one.copy()]));
    this.fed = held.fed;
  }

  /** Takes a typed array, or typed arrays by name. Returns them by name; takes none if one does not fit. */
  keep(frames) {
    const given = this.named(frames);
    for (const [name, value] of Object.entries(given)) this.check(name, value);
    for (const [name, value] of Object.entries(given)) this.accept(name, value);
    return given;
  }

  named(frames) {
    if (frames === null || typeof frames !== 'object' || Array.isArray(frames))
      throw new GraphcError('push takes a typed array, or typed arrays by name');
    if (!ArrayBuffer.isView(frames)) return frames;
    if (this.streams.length !== 1) throw new GraphcError(`there are ${this.streams.length} stream inputs; pass them by name`);
    return {[this.streams[0].name]: frames};
  }

  check(name, value) {
    const port = this.inputs.find((one) => one.name === name);
    if (!port) {
      const known = this.inputs.map((one) => one.name).join(', ');
      throw new GraphcError(`'${name}' is not an input of the model; known: ${known}`);
    }
    if (!(value instanceof port.Array))
      throw new GraphcError(`'${name}' is not a ${port.Array.name}, but the model takes ${port.dtype}`);
    if (port.fixed && value.length !== port.count)
      throw new GraphcError(`'${name}' has ${value.length} elements, but the model takes ${port.count}`);
    if (value.length % port.width) throw new GraphcError(`'${name}' does not hold whole frames of ${port.width} elements`);
  }

  accept(name, value) {
    const port = this.inputs.find((one) => one.name === name);
    if (port.fixed) {
      const before = this.fed ? this.statics.get(name) : undefined;
      if (before?.some((one, i) => !Object.is(one, value[i])))
        throw new GraphcError(`the static input '${name}' already has another value; begin another stream`);
      this.statics.set(name, value.slice());
      return;
    }
    const frames = value.length / port.width;
    const before = this.pushed.get(name);
    this.pushed.set(name, before + frames);
    const longest = this.manifest.beyond === 'continues' ? null : this.manifest.max_frames;
    if (longest !== null && this.total() > longest) {
      this.pushed.set(name, before);
      throw new GraphcError(`the stream is longer than ${longest} frames, the most that this model takes; begin another stream earlier`);
    }
    this.waiting.get(name).put(value, 0, frames, frames);
  }

  /** The first static input that was not given. */
  missing() {
    return this.inputs.find((port) => port.fixed && !this.statics.has(port.name));
  }

  /** The number of chunks that the next call can take. */
  chunks_ready() {
    const whole = (port) => Math.floor(this.waiting.get(port.name).count / port.frames);
    return Math.min(this.most, ...this.streams.map(whole));
  }

  /** The next frames of a stream input for a call, or the value of a static input. Zeros follow the end of the stream. */
  cut(port, chunks = 1) {
    if (port.fixed) return this.statics.get(port.name);
    const frames = this.waiting.get(port.name);
    const wanted = port.frames * chunks;
    const count = Math.min(frames.count, wanted);
    const data = frames.take(new port.Array(port.count * chunks), count, wanted);
    this.cuts.set(port.name, [data.slice(), count, wanted]);
    return data;
  }

  /** The call that the frames were cut for has failed: they wait for the next one. */
  give_back() {
    for (const [name, cut] of this.cuts) this.waiting.get(name).give_back(...cut);
  }

  /** Keeps the outputs of a call, without those before frame 0. */
  collect(outputs, chunks = 1) {
    this.fed += chunks * this.chunk;
    for (const port of this.outputs) {
      const given = this.given.get(port.name);
      const frames = port.frames * (port.axis === null ? 1 : chunks);
      const early = port.fixed ? 0 : Math.min(Math.max(port.delay - given, 0), frames);
      this.given.set(port.name, given + frames);
      this.ready.get(port.name).put(outputs[port.name], early, frames - early, frames);
    }
  }

  /** Refuses to end a stream that is too short, or whose inputs end at different times. Returns its length. */
  end() {
    const total = this.total();
    if (this.streams.some((port) => this.pushed.get(port.name) * this.chunk !== total * port.frames))
      throw new GraphcError('the stream inputs end at different times; push what is missing, or drop the stream');
    const least = this.manifest.min_frames ?? 1;
    const gives = this.outputs.some((port) => port.fixed || port.length(total) > 0);
    if (total > 0 && total < least && gives)
      throw new GraphcError(
        `a stream of ${total} frames is too short: the model equals the offline one from ${least} frames on; drop the stream, or go on with it`
      );
    return total;
  }

  /** Whether a stream that ended after total frames needs another call. */
  lacks(total) {
    const lacking = (port) => !port.fixed && port.delay + port.length(total) > this.given.get(port.name);
    return total > this.fed || this.outputs.some(lacking);
  }

  /** How many frames of the next call exist, in a stream that ended after total frames. */
  left(total) {
    return Math.min(Math.max(total - this.fed, 0), this.chunk);
  }

  /** Takes the waiting frames of each output that certainly exist after total input frames; the end may still cut others. */
  new_frames(total) {
    const found = {};
    for (const port of this.outputs) {
      const frames = this.ready.get(port.name);
      const taken = this.taken.get(port.name);
      const count = port.fixed ? frames.count : Math.max(0, Math.min(frames.count, port.length(total) - taken));
      this.taken.set(port.name, taken + count);
      found[port.name] = {frames: count, data: frames.take(new port.Array(count * port.width), count, count)};
    }
    return found;
  }

  frames_in(port) {
    return Math.ceil((this.pushed.get(port.name) * this.chunk) / port.frames);
  }

  total() {
    return Math.max(...this.streams.map((port) => this.frames_in(port)));
  }
}
