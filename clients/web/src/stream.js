// Runs a compiled model on a stream: cuts the frames into calls, carries the states, drops the delay, and flushes the tail.

import {GraphcError, portOf} from './contract/manifest.js';
import {Frames} from './frames.js';
import {CompiledModel} from './model.js';
import {StreamBuffer} from './stream_buffer.js';

export class StreamSession extends StreamBuffer {
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
  static async open(ort, url, options = {}) {
    return new StreamSession(await CompiledModel.open(ort, url, options.session), options);
  }

  /** The same for a manifest and a model in memory; `files` holds the bytes of the files that the manifest names. */
  static async create(ort, manifest, model, {files, session, ...options} = {}) {
    return new StreamSession(await CompiledModel.create(ort, manifest, model, files, session), options);
  }

  constructor(model, {multiple = 1, catch_up = 1, reset = null} = {}) {
    const {manifest} = model;
    const chunk = manifest.chunk ?? manifest.chunk_multiple * multiple;
    const ports = (entries) => entries.map((entry) => portOf(entry, chunk));
    super(manifest, ports(manifest.inputs), ports(manifest.outputs), chunk, manifest.chunk === null ? Math.max(1, catch_up) : 1);
    this.model = model;
    this.silence = reset && {below: reset.below, after_s: reset.after_s ?? manifest.reset_s};
    if (this.silence && !(manifest.frame_ms > 0 && this.silence.after_s > 0))
      throw new GraphcError("a reset in silence needs the manifest's frame_ms, and a time to reset after");
    this.reset();
  }

  /** Discards the stream: states at their first values, buffers empty. */
  reset() {
    this.model.check_idle();
    this.clear();
    this.states = this.model.first;
    this.flushed = false;
  }

  /**
   * Takes frames of the stream inputs and returns the output frames that are new.
   * @param frames a typed array, if there is one stream input, or typed arrays by name: any number of frames, in the
   *   layout of the offline model; a static input is given once, with the first frames
   */
  async push(frames) {
    this.check_open();
    const given = this.named(frames);
    const absent = this.inputs.find((port) => port.fixed && !this.statics.has(port.name) && !(port.name in given));
    if (absent) throw new GraphcError(`the static input '${absent.name}' was not given; pass it with the first frames`);
    this.keep(given);
    for (let chunks = this.chunks_ready(); chunks > 0; chunks = this.chunks_ready())
      await this.call(chunks * this.chunk, chunks);
    const found = this.new_frames(this.fed);
    return this.silence && this.may_end(given) ? this.anew(found) : found;
  }

  /** Whether the stream has lasted long enough, and the last push was silent. */
  may_end(given) {
    const first = given[this.streams[0].name];
    const total = this.total();
    const lasted = (total * this.manifest.frame_ms) / 1000;
    if (!first?.length || lasted < this.silence.after_s || total < (this.manifest.min_frames ?? 1)) return false;
    return Math.sqrt(first.reduce((sum, one) => sum + Number(one) ** 2, 0) / first.length) < this.silence.below;
  }

  /** Ends the stream and begins another. Returns the frames found so far, followed by the tail. */
  async anew(found) {
    const {statics} = this;
    const rest = await this.flush();
    this.reset();
    this.statics = statics;
    return Object.fromEntries(this.outputs.map((port) => [port.name, joined(port, found[port.name], rest[port.name])]));
  }

  /** Ends the stream: pads the last call, makes calls until every output is complete, and returns the rest. */
  async flush() {
    this.check_open();
    const total = this.end();
    this.flushed = true;
    while (this.lacks(total)) await this.call(this.left(total));
    return this.new_frames(total);
  }

  /** Saves the state of the stream. `resume` returns to it, any number of times. */
  snapshot() {
    return {model: this.model, states: this.states, flushed: this.flushed, ...this.kept()};
  }

  resume(held) {
    this.model.check_idle();
    if (held?.model !== this.model) throw new GraphcError('the snapshot is of another session');
    this.put_back(held);
    Object.assign(this, {states: held.states, flushed: held.flushed});
  }

  check_open() {
    this.model.check_idle();
    if (this.flushed) throw new GraphcError('the stream has been flushed; call reset() to start another');
  }

  async call(valid, chunks = 1) {
    const feeds = {};
    for (const port of this.inputs) {
      const shape = port.shape.map((size, axis) => (axis === port.axis ? size * chunks : size));
      feeds[port.name] = this.model.tensor(port.dtype, this.cut(port, chunks), shape);
    }
    const counts = new Array(this.manifest.streams ?? 1).fill(valid);
    const {outputs, states} = await this.model.call(feeds, this.states, counts).catch((error) => {
      this.give_back();
      throw error;
    });
    this.states = states;
    this.collect(outputs, chunks);
  }
}

/** Joins frames of an output and the frames that follow them. */
function joined(port, first, rest) {
  const frames = first.frames + rest.frames;
  const both = new Frames({...port, frames: Math.max(1, frames)});
  for (const part of [first, rest]) both.put(part.data, 0, part.frames, part.frames);
  return {frames, data: both.take(new port.Array(frames * port.width), frames, frames)};
}
