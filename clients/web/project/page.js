// The page: runs one model on the microphone or a file, and shows its output and whether the device keeps up.

import {Trigger, openMicrophone, openWorker, playFile, readPipeline} from './graphc/index.js';

const query = new URLSearchParams(location.search);
const settings = await (await fetch('./client.json')).json();
const pipelineUrl = settings.pipeline && !query.get('model') ? new URL(settings.pipeline, location.href).href : null;
const pipeline = pipelineUrl && readPipeline(await (await fetch(pipelineUrl)).text(), pipelineUrl);
const manifestUrl = pipeline?.manifest ?? new URL(query.get('model') ?? settings.manifest, location.href).href;
const rate = Number(query.get('rate') ?? settings.rate);
const at = (id) => document.getElementById(id);
const manifest = await (await fetch(manifestUrl)).json();
const says_text = ['ctc', 'transducer'].includes(pipeline?.kind);
const decoder = pipeline?.kind === 'trigger' ? pipeline.decoder : null;
const trigger = decoder && new Trigger(decoder, ((manifest.chunk ?? 0) * (manifest.frame_ms ?? 0)) / 1000);
const watched = pipeline?.decoder?.score ?? pipeline?.decoder?.scores ?? pipeline?.decoder?.encoder;
const stream = manifest.outputs.find((one) => one.name === watched) ?? manifest.outputs[0];
const width = 960;
let stop = null;

at('title').textContent = decodeURIComponent(manifestUrl.split('/').at(-1).replace('.manifest.json', ''));
at('about').textContent = `${rate} samples a second, ${manifest.chunk ?? manifest.chunk_multiple} a call, ${manifest.states.length} states`;
at('output-name').textContent = `Output: ${stream.name}`;
const per_frame = stream.rate ? stream.rate[1] / stream.rate[0] : stream.axis === null ? manifest.chunk ?? 1 : 1;
at('delay').textContent = `${(((stream.delay * per_frame) / rate) * 1000).toFixed(0)} ms`;

class Strip {
  constructor(canvas) {
    this.canvas = canvas;
    this.pen = canvas.getContext('2d');
    this.x = 0;
  }

  column(paint) {
    if (this.x >= width) {
      this.pen.drawImage(this.canvas, -width / 2, 0);
      this.pen.clearRect(width / 2, 0, width / 2, this.canvas.height);
      this.x = width / 2;
    }
    paint(this.pen, this.x++, this.canvas.height);
  }
}

const levels = new Strip(at('level'));
const spectra = new Strip(at('spectrum'));
const outputs = new Strip(at('output'));
let low = 0;
let high = decoder ? Math.max(1, 1.25 * decoder.threshold) : 1e-6;

function drawOutput({frames, data}) {
  const rows = frames ? data.length / frames : 0;
  const inner = stream.axis === null ? rows : stream.shape.slice(stream.axis + 1).reduce((n, s) => n * s, 1);
  for (let f = 0; f < frames; f++) {
    if (rows === 1) drawNumber(Number(data[f]));
    else drawColumn((r) => Number(data[(Math.floor(r / inner) * frames + f) * inner + (r % inner)]), rows);
  }
}

/** Draws the numbers of one frame as a column of shades; larger numbers are darker. */
function drawColumn(number, rows) {
  const values = Array.from({length: rows}, (_, r) => number(r));
  const finite = values.filter(Number.isFinite);
  [low, high] = [Math.min(low, ...finite), Math.max(high, ...finite)];
  shade(outputs, values, low, high);
}

/** Draws a column of values, the first on top: from white at `least` to blue at `most`. */
function shade(strip, values, least, most) {
  strip.column((pen, x, height) => {
    values.forEach((value, r) => {
      const light = Math.round(255 * (1 - Math.min(1, Math.max(0, (value - least) / (most - least)))));
      pen.fillStyle = `rgb(${light}, ${Math.min(255, light + 20)}, 255)`;
      pen.fillRect(x, Math.floor((r * height) / values.length), 1, Math.ceil(height / values.length));
    });
  });
}

const a_column = Math.max(1, Math.round(rate / 50 / per_frame));
let numbers = [];

/** Draws one number a frame as a line. A column covers many frames, from their lowest number to their highest. */
function drawNumber(value) {
  numbers.push(value);
  if (numbers.length < a_column) return;
  const [least, most] = [Math.min(...numbers), Math.max(...numbers)];
  numbers = [];
  [low, high] = [Math.min(low, least), Math.max(high, most)];
  outputs.column((pen, x, height) => {
    const y = (one) => height - ((one - low) / (high - low)) * height;
    pen.fillStyle = '#2456a6';
    const base = decoder ? low : least;
    pen.fillRect(x, Math.min(y(most), height - 2), 1, Math.max(2, y(base) - y(most)));
    if (!decoder) return;
    pen.fillStyle = '#c8781e';
    pen.fillRect(x, y(decoder.threshold), 1, 1);
  });
}

let heard = [];

function drawLevel(power) {
  heard.push(power);
  const calls = Math.max(1, Math.round(rate / 50 / (manifest.chunk ?? manifest.chunk_multiple)));
  if (heard.length < calls) return;
  const decibel = 10 * Math.log10(heard.reduce((sum, one) => sum + one, 0) / heard.length + 1e-9);
  heard = [];
  levels.column((pen, x, height) => {
    const tall = Math.max(1, ((decibel + 80) / 80) * height);
    pen.fillStyle = '#3a9d5d';
    pen.fillRect(x, height - tall, 1, tall);
  });
}

/** Passes the scores of some calls to the trigger, and lists the detections, the latest on top. */
function listen({frames, data}) {
  for (let call = 0; call < frames; call++) {
    const score = Number(data[(call * data.length) / frames + decoder.place]);
    if (!trigger.heard(score)) continue;
    window.events.push({seconds: trigger.seconds, score});
    const line = document.createElement('li');
    line.textContent = `${trigger.seconds.toFixed(2)} s, score ${score.toFixed(3)}`;
    at('events').prepend(line);
  }
}

/** Lists what was said, the latest utterance on top. The words of an utterance may change until it is final. */
function read({text, tokens, seconds, final}) {
  window.events.push({text, tokens, seconds, final});
  const last = at('events').firstElementChild;
  const line = last && !last.dataset.final ? last : document.createElement('li');
  line.textContent = `${seconds.toFixed(2)} s: ${text || tokens.join(' ')}`;
  if (final) line.dataset.final = 'true';
  if (line !== last) at('events').prepend(line);
}

function see(message) {
  if (message.kind === 'stopped') say(message.reason);
  if (message.kind === 'done') {
    document.body.dataset.state = 'done';
    at('stop').hidden = true;
  }
  if (message.kind !== 'output') return;
  const {outputs: calls, transcripts, levels: powers, spectra: columns, stats} = message;
  transcripts.forEach(read);
  powers.forEach(drawLevel);
  columns.forEach((column) => shade(spectra, Array.from(column).reverse(), -80, 0));
  for (const found of calls) {
    drawOutput(found[stream.name]);
    if (trigger) listen(found[stream.name]);
    window.received.push(found[stream.name]);
  }
  window.stats = stats;
  at('heard').textContent = `${stats.heard_s.toFixed(1)} s`;
  at('call').textContent = `${(stats.busy_ms / stats.calls).toFixed(2)} ms`;
  at('rtf').textContent = (stats.busy_ms / 1000 / Math.max(stats.heard_s, 1e-9)).toFixed(3);
  at('behind').textContent = `${Math.max(0, stats.behind_s * 1000).toFixed(0)} ms`;
  at('lost').textContent = String(stats.lost + stats.dropped);
}

function say(text) {
  at('said').textContent = text;
}

async function opened(at_once = false) {
  say('');
  window.received = [];
  window.events = [];
  trigger?.reset();
  at('events').replaceChildren();
  document.body.dataset.state = 'running';
  const ort = new URL(settings.ort, location.href).href;
  const behind = at_once ? 'wait' : query.get('behind') ?? 'drop';
  const text = says_text ? pipelineUrl : null;
  const live = await openWorker({manifest: manifestUrl, pipeline: text, ort, rate, behind, most_s: at_once ? 60 : 2}, see);
  at('stop').hidden = false;
  return live;
}

at('microphone').onclick = async () => {
  try {
    const live = await opened();
    stop = await openMicrophone(live);
  } catch (error) {
    say(String(error.message ?? error));
  }
};

at('stop').onclick = async () => {
  await stop?.();
  stop = null;
};

window.play = async (bytes, at_once = false) => playFile(await opened(at_once), bytes, {at_once});

at('file').onchange = async ({target}) => {
  try {
    await window.play(await target.files[0].arrayBuffer());
  } catch (error) {
    say(String(error.message ?? error));
  }
};

at('trigger').hidden = !trigger && !says_text;
document.body.dataset.state = 'ready';
