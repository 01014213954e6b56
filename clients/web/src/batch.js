// Runs many streams in one call, each of which begins and ends at its own time, for models compiled with
// `stream: {batch: N, clocks: own}`. A stream gives what it would give alone.

import {GraphcError, portOf} from './contract/manifest.js';
import {CompiledModel} from './model.js';
import {StreamBuffer} from './stream_buffer.js';

export class BatchSession {
  /**
   * Opens a compiled model.
   * @param ort the module onnxruntime-web
   * @param url the URL of the manifest, STEM.manifest.json; the model and its files are beside it
   * @param options session: onnxruntime's options
   */
  static async open(ort, url, {session} = {}) {
    return new BatchSession(await CompiledModel.open(ort, url, session));
  }

  /** The same for a manifest and a model in memory; `files` holds the bytes of the files that the manifest names. */
  static async create(ort, manifest, model, {files, session} = {}) {
    return new BatchSession(await CompiledModel.create(ort, manifest, model, files, session));
  }

  constructor(model) {
    const {manifest} = model;
    if (manifest.streams == null || manifest.chunk === null)
      throw new GraphcError(
        'its calls are of any size, or its streams share a clock and begin together; ' +
          'compile it with a chunk and `stream: {batch: N, clocks: own}`, or use StreamSession'
      );
    const {chunk, streams} = manifest;
    const joint = manifest.inputs.find((entry) => !isBatched(entry) && !portOf(entry, chunk).fixed);
    if (joint) throw new GraphcError(`the manifest's '${joint.name}' has no axis for the batch`);
    this.model = model;
    this.manifest = manifest;
    this.inputs = manifest.inputs.map((entry) => portOf(ofOne(entry, streams), chunk));
    this.outputs = manifest.outputs.map((entry) => portOf(ofOne(entry, streams), chunk));
    const ports = [...manifest.inputs, ...manifest.outputs];
    this.shapes = new Map(ports.map((entry) => [entry.name, portOf(entry, chunk).shape]));
    this.rows = new Map(ports.map((entry) => [entry.name, rowsOf(entry, this.shapes.get(entry.name), streams)]));
    this.state_rows = manifest.states.map((state) => rowsOf({name: state.input, ...state}, state.shape, streams));
    this.states = model.first;
    this.places = Array.from({length: streams}, () => new Place(manifest, this.inputs, this.outputs, chunk));
  }

  /** The number of places without a stream. */
  get free() {
    return this.places.filter((place) => !place.open).length;
  }

  /** Begins a stream. Returns the number of its place. */
  begin() {
    this.model.check_idle();
    const number = this.places.findIndex((place) => !place.open);
    if (number < 0)
      throw new GraphcError(`all ${this.places.length} streams of the batch are in use; finish a stream, or compile a larger batch`);
    this.states = this.with_rows(this.states, this.model.first, [number]);
    this.places[number].begin();
    return number;
  }

  /** Takes frames of one stream: a typed array or typed arrays by name, in the layout of the model for one stream. `step` runs them. */
  push(number, frames) {
    const place = this.stream(number);
    if (place.finished) throw new GraphcError(`stream ${number} has been finished`);
    place.keep(frames);
  }

  /** Ends a stream: no more frames will come. The next steps give its tail, and then free its place. */
  finish(number) {
    const place = this.stream(number);
    if (place.finished) throw new GraphcError(`stream ${number} has been finished`);
    place.end();
    this.check_statics([number]);
    place.finished = true;
  }

  /** Frees the place of a stream at once. Its tail is lost. */
  drop(number) {
    this.model.check_idle();
    this.stream(number).open = false;
  }

  /**
   * Makes one call for all streams that have a chunk, or a tail, left. Returns the new frames of each, by its number.
   * If the call fails, every stream still has its frames: drop() the one that is at fault, and step again.
   */
  async step() {
    const taking = [...this.places.keys()].filter((number) => this.places[number].takes_part());
    if (taking.length) {
      this.check_statics(taking);
      const valid = this.places.map((place, number) => (taking.includes(number) ? place.valid() : 0));
      const {outputs, states} = await this.model.call(this.feeds(taking), this.states, valid).catch((error) => {
        for (const number of taking) this.places[number].give_back();
        throw error;
      });
      this.states = this.with_rows(states, this.states, [...this.places.keys()].filter((number) => !taking.includes(number)));
      for (const number of taking) this.places[number].collect(this.outputs_of(outputs, number));
    }
    const found = new Map();
    this.places.forEach((place, number) => {
      if (!place.open || !(taking.includes(number) || place.finished)) return;
      found.set(number, place.new_frames(place.finished ? place.total() : place.fed));
      if (place.finished && !place.lacks(place.total())) place.open = false;
    });
    return found;
  }

  stream(number) {
    if (!this.places[number]?.open) throw new GraphcError(`there is no stream ${number}; begin() begins one`);
    return this.places[number];
  }

  /** Refuses streams that lack a static input, or that have several values of one that they share. */
  check_statics(taking) {
    for (const number of taking) {
      const missing = this.places[number].missing();
      if (missing)
        throw new GraphcError(`the static input '${missing.name}' of stream ${number} was not given; push it, or drop() the stream`);
    }
    for (const port of this.inputs.filter((one) => one.fixed && this.rows.get(one.name) === null)) {
      const values = taking.map((number) => this.places[number].statics.get(port.name));
      if (values.some((value) => value.some((one, i) => !Object.is(one, values[0][i]))))
        throw new GraphcError(
          `all streams share the static input '${port.name}', and their values differ; give it an axis for the batch in the model, or run such streams in separate batches`
        );
    }
  }

  /** The inputs of a call: zeros in the rows of streams that take no part. */
  feeds(taking) {
    const feeds = {};
    for (const port of this.inputs) {
      const rows = this.rows.get(port.name);
      const parts = taking.map((number) => this.places[number].cut(port));
      const whole = rows === null ? parts[0] : new port.Array(port.count * this.places.length);
      if (rows !== null) taking.forEach((number, at) => rows.put(whole, parts[at], number));
      feeds[port.name] = this.model.tensor(port.dtype, whole, this.shapes.get(port.name));
    }
    return feeds;
  }

  outputs_of(outputs, number) {
    const one = (port) => {
      const rows = this.rows.get(port.name);
      return rows === null ? outputs[port.name] : rows.take(outputs[port.name], new port.Array(port.count), number);
    };
    return Object.fromEntries(this.outputs.map((port) => [port.name, one(port)]));
  }

  /** States with the rows of some streams taken from others. */
  with_rows(states, source, numbers) {
    if (!numbers.length) return states;
    return states.map((state, i) => {
      const rows = this.state_rows[i];
      if (rows === null) return state;
      const made = state.data.slice();
      for (const number of numbers) rows.move(source[i].data, made, number);
      return this.model.tensor(state.type, made, state.dims);
    });
  }
}

/** One place of the batch: it holds a stream, or is empty. */
class Place extends StreamBuffer {
  open = false;
  finished = false;

  begin() {
    this.clear();
    this.open = true;
    this.finished = false;
  }

  takes_part() {
    return this.open && (this.finished ? this.lacks(this.total()) : this.chunks_ready() > 0);
  }

  valid() {
    return this.finished ? this.left(this.total()) : this.chunk;
  }
}

/** Where the rows of each stream lie in an array: `outer` parts, each with `size` elements of every stream. */
class Rows {
  constructor(outer, size, streams) {
    Object.assign(this, {outer, size, streams});
  }

  /** Copies the rows of a stream from one array to another of the same layout. */
  move(from, into, number) {
    for (let part = 0; part < this.outer; part++) {
      const at = (part * this.streams + number) * this.size;
      into.set(from.subarray(at, at + this.size), at);
    }
  }

  /** Copies an array of one stream into the rows of that stream. */
  put(whole, one, number) {
    for (let part = 0; part < this.outer; part++)
      whole.set(one.subarray(part * this.size, (part + 1) * this.size), (part * this.streams + number) * this.size);
  }

  /** Copies the rows of a stream into an array of one stream. */
  take(whole, one, number) {
    for (let part = 0; part < this.outer; part++) {
      const at = (part * this.streams + number) * this.size;
      one.set(whole.subarray(at, at + this.size), part * this.size);
    }
    return one;
  }
}

function isBatched(entry) {
  return Number.isInteger(entry.batch_axis);
}

/** The manifest's entry of a port, with the shape for one stream. */
function ofOne(entry, streams) {
  if (!isBatched(entry)) return entry;
  const size = entry.shape[entry.batch_axis];
  if (!(size % streams === 0) || entry.batch_axis === entry.axis)
    throw new GraphcError(`the manifest's batch axis of '${entry.name}' does not hold ${streams} streams`);
  return {...entry, shape: entry.shape.map((one, axis) => (axis === entry.batch_axis ? one / streams : one))};
}

/** The rows of the streams in a port or a state; null if it has no axis for the batch. */
function rowsOf(entry, shape, streams) {
  if (!isBatched(entry)) return null;
  if (!(shape[entry.batch_axis] % streams === 0))
    throw new GraphcError(`the manifest's batch axis of '${entry.name}' does not hold ${streams} streams`);
  const product = (sizes) => sizes.reduce((all, one) => all * one, 1);
  const outer = product(shape.slice(0, entry.batch_axis));
  return new Rows(outer, product(shape) / (outer * streams), streams);
}
