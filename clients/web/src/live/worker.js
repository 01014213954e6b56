// The worker of a page: reads samples, makes the calls, and posts the new outputs and how well it keeps up.
//
// It takes {kind: 'open', manifest, pipeline, ort, memory, rate, behind, most_s, catch_up}, {kind: 'samples', samples} and {kind: 'end'}.
// It posts {kind: 'open', …}, {kind: 'output', outputs, transcripts, levels, spectra, stats}, {kind: 'stopped', reason} and {kind: 'done'}.

import {GraphcError} from '../contract/manifest.js';
import {Ring} from './ring.js';
import {Spectrum} from './spectrum.js';
import {StreamSession} from '../stream.js';
import {TextPipeline} from '../pipelines/text.js';

const POLL_MS = 4;
const POST_MS = 25;
let live = null;

class Live {
  /** @param text the TextPipeline whose session it is, or null */
  constructor(session, text, {memory, rate, behind = 'drop', most_s = 1}) {
    this.session = session;
    this.text = text;
    this.transcripts = [];
    this.ring = memory ? Ring.over(memory) : new Ring(Math.ceil(8 * most_s * rate), undefined);
    this.rate = rate;
    this.behind = behind;
    this.most = Math.ceil(most_s * rate);
    this.port = session.inputs.find((port) => !port.fixed);
    if (this.port.width !== 1)
      throw new GraphcError(`'${this.port.name}' takes features of ${this.port.width} numbers, not samples`);
    this.block = new Float32Array(this.port.frames * session.most);
    this.stats = {calls: 0, busy_ms: 0, heard_s: 0, dropped: 0, lost: 0, behind_s: 0};
    this.found = [];
    this.levels = [];
    this.spectrum = new Spectrum(rate);
    this.spectra = [];
    this.posted = 0;
    this.ended = false;
  }

  async run() {
    for (;;) {
      this.keep_up();
      const waiting = this.ring.waiting;
      if (waiting >= this.port.frames || (this.ended && waiting > 0)) {
        const whole = Math.floor(waiting / this.port.frames) * this.port.frames;
        const count = this.ring.read(this.block.subarray(0, Math.min(this.block.length, whole || waiting)));
        await this.step((one) => one.push(this.block.subarray(0, count)), count);
      } else if (this.ended) {
        await this.step((one) => one.flush(), 0);
        this.post();
        postMessage({kind: 'done'});
        return;
      } else {
        this.post();
        await new Promise((wake) => setTimeout(wake, POLL_MS));
      }
    }
  }

  /** If more than `most_s` seconds are waiting: drop the oldest samples, stop, or do nothing, as `behind` says. */
  keep_up() {
    const over = this.ring.waiting - this.most;
    if (over <= 0 || this.ended || this.behind === 'wait') return;
    if (this.behind === 'stop')
      throw new GraphcError(`the device does not keep up: ${(this.ring.waiting / this.rate).toFixed(2)} s waited`);
    this.stats.dropped += this.ring.read(new Float32Array(over));
  }

  async step(call, samples) {
    const start = performance.now();
    const found = await call(this.text ?? this.session);
    const now = performance.now();
    this.stats.busy_ms += now - start;
    this.stats.calls += 1;
    this.stats.heard_s += samples / this.rate;
    this.found.push(...(this.text ? this.text.outputs : [found]));
    if (this.text) this.transcripts.push(...found);
    if (samples) {
      const heard = this.block.subarray(0, samples);
      this.levels.push(power(heard));
      this.spectra.push(...this.spectrum.columns(heard));
    }
    if (now - this.posted > POST_MS) this.post();
  }

  /** Posts what is new since the last post: the outputs of every call, the mean square of its samples, and their
   *  spectra. */
  post() {
    if (!this.found.length) return;
    this.posted = performance.now();
    this.stats.lost = this.ring.lost;
    this.stats.behind_s = this.ring.waiting / this.rate;
    postMessage({kind: 'output', outputs: this.found, transcripts: this.transcripts, levels: this.levels, spectra: this.spectra, stats: {...this.stats}});
    this.found = [];
    this.transcripts = [];
    this.levels = [];
    this.spectra = [];
  }
}

function power(samples) {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  return sum / samples.length;
}

async function opened(message) {
  const ort = await import(message.ort);
  ort.env.wasm.numThreads = 1;
  const options = {catch_up: message.catch_up ?? 1};
  const text = message.pipeline ? await TextPipeline.open(ort, message.pipeline, options) : null;
  const session = text?.session ?? (await StreamSession.open(ort, message.manifest, options));
  live = new Live(session, text, message);
  const outputs = session.outputs.map(({name, frames, width, delay, fixed}) => ({name, frames, width, delay, fixed}));
  postMessage({kind: 'open', chunk: session.chunk, states: session.states.length, outputs});
  await live.run();
}

onmessage = ({data}) => {
  if (data.kind === 'open') opened(data).catch((error) => postMessage({kind: 'stopped', reason: String(error.message ?? error)}));
  if (data.kind === 'samples') live?.ring.write(data.samples);
  if (data.kind === 'end' && live) live.ended = true;
};
