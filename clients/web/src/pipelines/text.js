// Runs a pipeline that ends in text, by greedy ctc or transducer decoding: samples in, transcripts out.

import {fetched, filesOf} from '../contract/fetched.js';
import {firstValue} from '../contract/first_values.js';
import {Frames} from '../frames.js';
import {GraphcError, arrayOf, isWhole, readManifest} from '../contract/manifest.js';
import {isInside, readPipeline} from './pipeline.js';
import {StreamSession} from '../stream.js';

const BYTE = /^<0x([0-9A-Fa-f]{2})>$/;
const NUMBERS = ['float32', 'float64', 'int32', 'int64'];

export class TextPipeline {
  /**
   * Opens a compiled pipeline.
   * @param ort the module onnxruntime-web
   * @param url the URL of its pipeline.manifest.json; the models are beside it
   * @param options those of StreamSession.open
   */
  static async open(ort, url, options = {}) {
    const base = /^[a-z]+:\/\//.test(String(url)) ? String(url) : `file://${url}`;
    const pipeline = readPipeline(await (await fetched(base)).text(), base);
    if (!['ctc', 'transducer'].includes(pipeline.kind)) throw new GraphcError('the pipeline does not end in text');
    const entry = checked(pipeline.decoder);
    const session = await StreamSession.open(ort, pipeline.manifest, options);
    const decoder = pipeline.kind === 'ctc' ? new Ctc(entry) : await Transducer.open(ort, entry, pipeline.stages ?? [], base);
    const made = new TextPipeline(session, entry, pipeline.kind === 'ctc' ? entry.scores : entry.encoder, decoder);
    await made.begin();
    return made;
  }

  constructor(session, entry, output, decoder) {
    this.session = session;
    this.entry = entry;
    this.decoder = decoder;
    this.input = session.inputs.find((port) => !port.fixed);
    this.port = session.outputs.find((port) => port.name === output);
    if (!this.port || this.port.fixed) throw new GraphcError(`the model gives no frames '${output}'`);
    const [up, down] = session.manifest.outputs.find((one) => one.name === output).rate ?? [1, 1];
    this.frame_s = (((session.manifest.frame_ms ?? 0) / 1000) * down) / up;
    if (entry.endpoint_s !== null && !(this.frame_s > 0))
      throw new GraphcError('the duration of a frame is not known; set stream.frame_ms, and compile again');
    this.queue = new Frames(this.input);
    this.outputs = [];
    this.seen = 0;
    this.waiting = 0;
  }

  /** Discards the stream, and begins another. */
  async reset() {
    this.session.reset();
    this.seen = this.waiting = 0;
    await this.begin();
  }

  /** Begins another utterance. */
  async begin() {
    this.tokens = [];
    this.told = 0;
    this.last = this.seen;
    await this.decoder.begin();
  }

  /**
   * Takes any number of frames, in the layout of the offline model. Returns the transcripts that are new; `outputs` then
   * holds what the model gave in each call. At an endpoint the tail is flushed and the states start over.
   */
  async push(frames) {
    const found = [];
    this.outputs = [];
    this.queue.put(frames, 0, frames.length / this.input.width, frames.length / this.input.width);
    while (this.queue.count > 0) {
      const some = Math.min(this.queue.count, this.input.frames - this.waiting);
      const piece = this.queue.take(new this.input.Array(some * this.input.width), some, some);
      await this.decode(await this.session.push(piece));
      this.waiting = (this.waiting + some) % this.input.frames;
      if (!this.ended) continue;
      found.push(...(await this.finish()));
      this.session.reset();
      this.waiting = 0;
    }
    return [...found, ...this.transcript(false)];
  }

  /** Ends the stream. Returns the last transcript, if something was said. */
  async flush() {
    this.outputs = [];
    return this.finish();
  }

  async finish() {
    await this.decode(await this.session.flush());
    const found = this.transcript(true);
    await this.begin();
    return found;
  }

  async decode(outputs) {
    this.outputs.push(outputs);
    const {frames, data} = outputs[this.port.name];
    const inner = this.port.width / this.port.outer;
    for (let f = 0; f < frames; f++) {
      const row = Float64Array.from({length: this.port.width}, (_, i) => Number(data[(Math.floor(i / inner) * frames + f) * inner + (i % inner)]));
      const tokens = await this.decoder.take(row);
      this.seen += 1;
      if (tokens.length) this.last = this.seen;
      this.tokens.push(...tokens);
    }
  }

  get ended() {
    const {endpoint_s} = this.entry;
    return this.tokens.length > 0 && endpoint_s !== null && (this.seen - this.last) * this.frame_s >= endpoint_s;
  }

  transcript(final) {
    if (!this.tokens.length || (this.tokens.length === this.told && !final)) return [];
    this.told = this.tokens.length;
    return [{text: textOf(this.tokens, this.entry), tokens: [...this.tokens], seconds: this.last * this.frame_s, final}];
  }
}

function checked(entry) {
  const silence = entry?.endpoint_s ?? null;
  const table = entry?.tokens ?? null;
  const fits =
    isWhole(entry?.blank, 0, 2 ** 31 - 1) &&
    (silence === null || silence >= 0) &&
    (table === null || (Array.isArray(table) && table.every((piece) => typeof piece === 'string')));
  if (!fits) throw new GraphcError('not the manifest of a pipeline: its decoder is not valid');
  return {...entry, endpoint_s: silence, tokens: table};
}

/** Joins pieces to text; `<0xNN>` is a byte of UTF-8. */
function textOf(tokens, {tokens: table, space}) {
  if (!table) return '';
  const encoder = new TextEncoder();
  const bytes = tokens.flatMap((token) => {
    const piece = table[token] ?? '';
    const byte = BYTE.exec(piece);
    return byte ? [parseInt(byte[1], 16)] : [...encoder.encode(piece)];
  });
  const text = new TextDecoder('utf-8', {ignoreBOM: true}).decode(new Uint8Array(bytes));
  return (space ? text.replaceAll(space, ' ') : text).trim();
}

/** The place of the largest number; a NaN counts as larger than any. */
function likeliest(scores) {
  let best = 0;
  for (let i = 1; i < scores.length; i++)
    if (scores[i] > scores[best] || (Number.isNaN(scores[i]) && !Number.isNaN(scores[best]))) best = i;
  return best;
}

/** The likeliest token of each frame; repetitions and blanks are left out (Graves et al., 2006). */
class Ctc {
  constructor(entry) {
    this.blank = entry.blank;
  }

  async begin() {
    this.before = this.blank;
  }

  async take(scores) {
    const token = likeliest(scores);
    const isNew = token !== this.blank && token !== this.before;
    this.before = token;
    return isNew ? [token] : [];
  }
}

/** A stage that a decoder calls: values in, one output out. Its states move on only with keep(). */
class Network {
  static async open(ort, stage, url, output) {
    if (!isInside(stage.model)) throw new GraphcError('it names a model outside its folder');
    const bytes = await (await fetched(new URL(stage.model, url).href)).arrayBuffer();
    let session;
    try {
      session = await ort.InferenceSession.create(new Uint8Array(bytes), {logSeverityLevel: 3});
    } catch (error) {
      throw new GraphcError(`onnxruntime cannot run the stage '${stage.name}': ${error.message ?? error}`);
    }
    const manifest = stage.manifest ? readManifest(stage.manifest) : {states: []};
    return new Network(ort, session, stage.name, manifest, await filesOf(manifest, url), output);
  }

  constructor(ort, session, name, manifest, files, output) {
    Object.assign(this, {ort, session, name, output, states: manifest.states});
    this.ports = new Map(session.inputMetadata.map((port) => [port.name, {type: port.type, shape: port.shape.map((size) => (size > 0 ? size : 1))}]));
    const lost = [...this.states.map((s) => s.input)].filter((input) => !this.ports.has(input));
    lost.push(...[output, ...this.states.map((s) => s.output)].filter((one) => !session.outputNames.includes(one)));
    if (lost.length) throw new GraphcError(`the stage '${name}' has no port ${lost.join(', ')}`);
    this.first = Object.fromEntries(
      this.states.map((state) => [state.input, new ort.Tensor(state.dtype, firstValue(state, files), state.shape)]),
    );
    this.begin();
  }

  /** Checks the inputs that the decoder fills. A whole number beside them counts frames, and is 1. */
  fill(names) {
    const absent = names.filter((name) => !this.ports.has(name));
    if (absent.length) throw new GraphcError(`the stage '${this.name}' has no port ${absent.join(', ')}`);
    this.counts = {};
    for (const [name, {type, shape}] of this.ports) {
      if (names.includes(name) && !NUMBERS.includes(type)) throw new GraphcError(`the input '${name}' of '${this.name}' is a ${type}, which this client cannot fill`);
      if (names.includes(name) || name in this.first) continue;
      if (!type.startsWith('int') || shape.length > 1) throw new GraphcError(`nothing fills the input ${name} of '${this.name}'`);
      this.counts[name] = this.tensor(name, new Array(this.entries(name)).fill(1));
    }
  }

  begin() {
    this.held = this.first;
  }

  entries(name) {
    return this.ports.get(name).shape.reduce((product, size) => product * size, 1);
  }

  tensor(name, numbers) {
    const {type, shape} = this.ports.get(name);
    if (numbers.length !== this.entries(name))
      throw new GraphcError(`'${name}' of '${this.name}' takes ${this.entries(name)} numbers, not ${numbers.length}`);
    const Kind = arrayOf(type);
    return new this.ort.Tensor(type, type === 'int64' ? Kind.from(numbers, BigInt) : Kind.from(numbers), shape);
  }

  async run(feeds) {
    const found = await this.session.run({...this.counts, ...this.held, ...feeds});
    this.after = Object.fromEntries(this.states.map((state) => [state.input, found[state.output]]));
    return Float64Array.from(found[this.output].data, Number);
  }

  /** The next call begins with the states that the last one gave. */
  keep() {
    this.held = this.after;
  }
}

/** Greedy decoding of an encoder's frames by a joiner and a predictor, or by a joiner that contains its predictor. */
class Transducer {
  static async open(ort, entry, stages, url) {
    const {joiner, predictor = null} = entry;
    if (!isWhole(entry.most_symbols, 1, 1e6) || !joiner) throw new GraphcError('not the manifest of a pipeline: its decoder is not valid');
    if (!joiner.token !== Boolean(predictor) || !joiner.predictor === Boolean(predictor))
      throw new GraphcError("its joiner takes neither a predictor's output nor a single token");
    const opened = async ({stage, output}) => {
      const found = stages.find((one) => one.name === stage);
      if (!found) throw new GraphcError(`the decoder names unknown stages: ${stage}`);
      return Network.open(ort, found, url, output);
    };
    const made = new Transducer(entry, await opened(joiner), predictor && (await opened(predictor)));
    made.joiner.fill([joiner.encoder, predictor ? joiner.predictor : joiner.token]);
    made.predictor?.fill([predictor.token]);
    made.context = predictor ? made.predictor.entries(predictor.token) : made.joiner.entries(joiner.token);
    return made;
  }

  constructor(entry, joiner, predictor) {
    Object.assign(this, {entry, joiner, predictor, start: entry.start ?? entry.blank});
  }

  async begin() {
    this.last = new Array(this.context).fill(this.start);
    this.joiner.begin();
    this.predictor?.begin();
    await this.predict();
  }

  async predict() {
    if (!this.predictor) return;
    const {token} = this.entry.predictor;
    this.predicted = await this.predictor.run({[token]: this.predictor.tensor(token, this.last)});
    this.predictor.keep();
  }

  /** The tokens of the next frame; none for a blank. */
  async take(frame) {
    const {encoder, predictor, token: inside} = this.entry.joiner;
    const found = [];
    const heard = this.joiner.tensor(encoder, frame);
    while (found.length < this.entry.most_symbols) {
      const said = this.predictor
        ? {[predictor]: this.joiner.tensor(predictor, this.predicted)}
        : {[inside]: this.joiner.tensor(inside, this.last)};
      const token = likeliest(await this.joiner.run({[encoder]: heard, ...said}));
      if (token === this.entry.blank) break;
      found.push(token);
      this.joiner.keep();
      this.last = [...this.last.slice(1), token];
      await this.predict();
    }
    return found;
  }
}
