// Runs a compiled model on a stream: cuts the frames into calls, carries the states, drops the delay, and flushes the tail.

import {fetched, filesOf} from './fetched.js';
import {firstValue} from './first_values.js';
import {Frames} from './frames.js';
import {GraphcError, arrayOf, portOf, readManifest} from './manifest.js';

export class StreamSession {
  /**
   * Opens a compiled model.
   * @param ort the module onnxruntime-web
   * @param url the URL of the manifest, STEM.manifest.json; the model and its files are beside it
   * @param options multiple: for a model whose calls may have any size, the number of smallest chunks in one call;
   *   catch_up: one larger call replaces up to this many such calls, when that much is waiting;
   *   session: onnxruntime's options; reset: {below, after_s}: begins another stream in a silence: once the stream has
   *   lasted after_s seconds (by default the manifest's reset_s), the next push to the first stream input whose root mean
   *   square is under below ends it
   */
  static async open(ort, url, {multiple = 1, catch_up = 1, session: more = {}, reset = null} = {}) {
    const manifest = readManifest(await (await fetched(url)).text());
    const stem = String(url).replace(/\.manifest\.json(\?.*)?$/, '');
    const files = await filesOf(manifest, url);
    const model = await (await fetched(`${stem}.onnx`)).arrayBuffer();
    return StreamSession.create(ort, manifest, new Uint8Array(model), {files, multiple, catch_up, session: more, reset});
  }

  /** The same for a manifest and a model in memory; `files` holds the bytes of the files that the manifest names. */
  static async create(ort, manifest, model, {files = {}, multiple = 1, catch_up = 1, session: more = {}, reset = null} = {}) {
    let session;
    try {
      session = await ort.InferenceSession.create(model, {logSeverityLevel: 3, ...more});
    } catch (error) {
      throw new GraphcError(`onnxruntime cannot run this model: ${error.message ?? error}`);
    }
    return new StreamSession(ort, session, readManifest(manifest), {files, multiple, catch_up, reset});
  }

  constructor(ort, session, manifest, {files, multiple, catch_up, reset}) {
    this.ort = ort;
    this.session = session;
    this.manifest = manifest;
    this.chunk = manifest.chunk ?? manifest.chunk_multiple * multiple;
    this.most = manifest.chunk === null ? Math.max(1, catch_up) : 1;
    this.inputs = manifest.inputs.map((entry) => portOf(entry, this.chunk));
    this.outputs = manifest.outputs.map((entry) => portOf(entry, this.chunk));
    if (!this.inputs.some((port) => !port.fixed)) throw new GraphcError('the manifest names no stream input');
    const lost = [...this.inputs, ...manifest.states.map((s) => ({name: s.input}))]
      .map((port) => port.name)
      .filter((name) => !session.inputNames.includes(name));
    if (lost.length) throw new GraphcError(`the manifest names ports that the model does not have: ${lost.join(', ')}`);
    this.first = manifest.states.map((state) => this.tensor(state.dtype, firstValue(state, files), state.shape));
    this.waiting = new Map(this.inputs.map((port) => [port.name, new Frames(port)]));
    this.ready = new Map(this.outputs.map((port) => [port.name, new Frames(port)]));
    this.silence = reset && {below: reset.below, after_s: reset.after_s ?? manifest.reset_s};
    if (this.silence && !(manifest.frame_ms > 0 && this.silence.after_s > 0))
      throw new GraphcError("a reset in silence needs the manifest's frame_ms, and a time to reset after");
    this.reset();
  }

  /** Discards the stream: states at their first values, buffers empty. */
  reset() {
    this.states = this.first;
    this.statics = new Map();
    this.pushed = new Map(this.inputs.map((port) => [port.name, 0]));
    this.given = new Map(this.outputs.map((port) => [port.name, 0]));
    this.taken = new Map(this.outputs.map((port) => [port.name, 0]));
    for (const frames of [...this.waiting.values(), ...this.ready.values()]) frames.clear();
    this.fed = 0;
    this.flushed = false;
  }

  /**
   * Takes frames of the stream inputs and returns the output frames that are new.
   * @param frames a typed array, if there is one stream input, or typed arrays by name: any number of frames, in the
   *   layout of the offline model; a static input is given once, with the first frames
   */
  async push(frames) {
    if (this.flushed) throw new GraphcError('the stream has been flushed; call reset() to start another');
    const given = this.named(frames);
    for (const [name, value] of Object.entries(given)) this.check(name, value);
    const absent = this.inputs.find((port) => port.fixed && !this.statics.has(port.name) && !(port.name in given));
    if (absent) throw new GraphcError(`the static input '${absent.name}' was not given; pass it with the first frames`);
    for (const [name, value] of Object.entries(given)) this.accept(name, value);
    for (let chunks = this.chunks_ready(); chunks > 0; chunks = this.chunks_ready())
      await this.call(chunks * this.chunk, chunks);
    const found = this.new_frames(this.fed);
    return this.silence && this.may_end(given) ? this.anew(found) : found;
  }

  /** Whether the stream has lasted long enough, and the last push was silent. */
  may_end(given) {
    const first = given[this.inputs.find((port) => !port.fixed).name];
    const total = this.total();
    const lasted = (total * this.manifest.frame_ms) / 1000;
    if (!first?.length || lasted < this.silence.after_s || total < (this.manifest.min_frames ?? 1)) return false;
    return Math.sqrt(first.reduce((sum, one) => sum + Number(one) ** 2, 0) / first.length) < this.silence.below;
  }

  /** Ends the stream and begins another. Returns the frames found so far, followed by the tail. */
  async anew(found) {
    const statics = this.statics;
    const rest = await this.flush();
    this.reset();
    this.statics = statics;
    return Object.fromEntries(this.outputs.map((port) => [port.name, joined(port, found[port.name], rest[port.name])]));
  }

  /** Ends the stream: pads the last call, makes calls until every output is complete, and returns the rest. */
  async flush() {
    if (this.flushed) throw new GraphcError('the stream has been flushed; call reset() to start another');
    const total = this.total();
    const ends = this.inputs.filter((port) => !port.fixed).map((port) => this.frames_in(port));
    if (new Set(ends).size > 1) throw new GraphcError('the stream inputs end at different times');
    const least = this.manifest.min_frames ?? 1;
    const gives = this.outputs.some((port) => port.fixed || port.length(total) > 0);
    if (total > 0 && total < least && gives)
      throw new GraphcError(
        `a stream of ${total} frames is too short: the model equals the offline one from ${least} frames on; drop the stream, or go on with it`
      );
    this.flushed = true;
    const lacks = (port) => !port.fixed && port.delay + port.length(total) > this.given.get(port.name);
    while (total > this.fed || this.outputs.some(lacks)) await this.call(Math.min(Math.max(total - this.fed, 0), this.chunk));
    return this.new_frames(total);
  }

  /** Saves the state of the stream. `resume` returns to it, any number of times. */
  snapshot() {
    const copies = (frames) => new Map([...frames].map(([name, one]) => [name, one.copy()]));
    const held = {states: this.states, statics: new Map(this.statics), fed: this.fed, flushed: this.flushed};
    const counts = {pushed: new Map(this.pushed), given: new Map(this.given), taken: new Map(this.taken)};
    return {session: this.session, ...held, ...counts, waiting: copies(this.waiting), ready: copies(this.ready)};
  }

  resume(held) {
    if (held?.session !== this.session) throw new GraphcError('the snapshot is of another session');
    for (const name of ['statics', 'pushed', 'given', 'taken']) this[name] = new Map(held[name]);
    for (const name of ['waiting', 'ready']) this[name] = new Map([...held[name]].map(([key, one]) => [key, one.copy()]));
    Object.assign(this, {states: held.states, fed: held.fed, flushed: held.flushed});
  }

  named(frames) {
    if (frames === null || typeof frames !== 'object' || Array.isArray(frames))
      throw new GraphcError('push takes a typed array, or typed arrays by name');
    if (!ArrayBuffer.isView(frames)) return frames;
    const streams = this.inputs.filter((port) => !port.fixed);
    if (streams.length !== 1) throw new GraphcError(`there are ${streams.length} stream inputs; pass them by name`);
    return {[streams[0].name]: frames};
  }

  check(name, value) {
    const port = this.inputs.find((one) => one.name === name);
    if (!port) throw new GraphcError(`'${name}' is not an input of the model`);
    if (!(value instanceof port.Array))
      throw new GraphcError(`'${name}' is not a ${port.Array.name}, but the model takes ${port.dtype}`);
    if (port.fixed && value.length !== port.count)
      throw new GraphcError(`'${name}' has ${value.length} elements, but the model takes ${port.count}`);
    if (value.length % port.width) throw new GraphcError(`'${name}' does not hold whole frames of ${port.width} elements`);
  }

  accept(name, value) {
    const port = this.inputs.find((one) => one.name === name);
    if (port.fixed) {
      this.statics.set(name, this.tensor(port.dtype, value.slice(), port.shape));
      return;
    }
    const frames = value.length / port.width;
    const before = this.pushed.get(name);
    this.pushed.set(name, before + frames);
    const longest = this.manifest.beyond === 'continues' ? null : this.manifest.max_frames;
    if (longest !== null && this.total() > longest) {
      this.pushed.set(name, before);
      throw new GraphcError(`a stream of more than ${longest} frames; this model is bounded; reset() earlier`);
    }
    this.waiting.get(name).put(value, 0, frames, frames);
  }

  /** The number of chunks that the next call can take. */
  chunks_ready() {
    const whole = (port) => Math.floor(this.waiting.get(port.name).count / port.frames);
    return Math.min(this.most, ...this.inputs.filter((port) => !port.fixed).map(whole));
  }

  async call(valid, chunks = 1) {
    const feeds = {};
    for (const port of this.inputs) {
      if (port.fixed) {
        feeds[port.name] = this.statics.get(port.name);
        continue;
      }
      const frames = this.waiting.get(port.name);
      const wanted = port.frames * chunks;
      const chunk = frames.take(new port.Array(port.count * chunks), Math.min(frames.count, wanted), wanted);
      feeds[port.name] = this.tensor(port.dtype, chunk, port.shape.map((size, a) => (a === port.axis ? wanted : size)));
    }
    this.manifest.states.forEach((state, i) => (feeds[state.input] = this.states[i]));
    if (this.manifest.valid_frames) {
      const counts = new BigInt64Array(this.manifest.streams ?? 1).fill(BigInt(valid));
      feeds[this.manifest.valid_frames] = this.tensor('int64', counts, [counts.length]);
    }
    const results = await this.session.run(feeds);
    this.states = this.manifest.states.map((state) => results[state.output]);
    this.fed += chunks * this.chunk;
    for (const port of this.outputs) {
      const given = this.given.get(port.name);
      const frames = port.frames * (port.axis === null ? 1 : chunks);
      const early = port.fixed ? 0 : Math.min(Math.max(port.delay - given, 0), frames);
      this.given.set(port.name, given + frames);
      this.ready.get(port.name).put(results[port.name].data, early, frames - early, frames);
    }
  }

  /** The waiting frames of each output that certainly exist after total input frames; the end may still cut others. */
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
    return Math.max(...this.inputs.filter((port) => !port.fixed).map((port) => this.frames_in(port)));
  }

  tensor(dtype, data, shape) {
    arrayOf(dtype);
    return new this.ort.Tensor(dtype, data, shape);
  }
}

/** Joins frames of an output and the frames that follow them. */
function joined(port, first, rest) {
  const frames = first.frames + rest.frames;
  const both = new Frames({...port, frames: Math.max(1, frames)});
  for (const part of [first, rest]) both.put(part.data, 0, part.frames, part.frames);
  return {frames, data: both.take(new port.Array(frames * port.width), frames, frames)};
}
