// What the players of tables share: the model beside a table, its recorded bytes, and the comparison of an output.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import * as ort from 'onnxruntime-web';

ort.env.wasm.numThreads = 1;
const folder = process.env.GRAPHC_STREAMS ?? '';

/** The names of the tables that end so. */
export function tables(ending) {
  return folder ? fs.readdirSync(folder).filter((name) => name.endsWith(ending)).sort() : [];
}

export function readTable(name) {
  return JSON.parse(fs.readFileSync(path.join(folder, name), 'utf8'));
}

export function bytesOf(name) {
  return fs.readFileSync(path.join(folder, name));
}

/** Opens the model that a table names, as a session of a class. */
export async function opened(Session, {model, reset, catch_up}) {
  const stem = model.replace(/\.onnx$/, '');
  const first = `${stem}.init.npz`;
  const files = fs.existsSync(path.join(folder, first)) ? {[first]: bytesOf(first)} : {};
  return Session.create(ort, bytesOf(`${stem}.manifest.json`).toString(), new Uint8Array(bytesOf(model)), {files, reset, catch_up});
}

/** Reads the pushes of a table one after the other. */
export class Pushes {
  constructor(file) {
    this.bytes = bytesOf(file);
    this.at = 0;
  }

  /** The next frames of an input. */
  next(port, frames) {
    const size = frames * port.width * port.Array.BYTES_PER_ELEMENT;
    const from = this.bytes.byteOffset + this.at;
    this.at += size;
    return new port.Array(this.bytes.buffer.slice(from, from + size));
  }
}

/** Compares what a client gave for an output, part by part, with the entry of a table. */
export function compare(port, parts, entry) {
  const frames = parts.reduce((sum, part) => sum + part.frames, 0);
  assert.equal(frames, entry.frames, `${entry.name}: frames`);
  const whole = new port.Array(frames * port.width);
  const inner = port.width / port.outer;
  let before = 0;
  for (const part of parts) {
    for (let o = 0; o < port.outer; o++)
      whole.set(part.data.subarray(o * part.frames * inner, (o + 1) * part.frames * inner), (o * frames + before) * inner);
    before += part.frames;
  }
  const raw = bytesOf(entry.file);
  const want = new port.Array(raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.byteLength));
  const off = distance(whole, want);
  assert.ok(off <= 2e-6, `${entry.name}: off by ${off}`);
}

function distance(got, want) {
  let worst = 0;
  let scale = 1;
  for (let i = 0; i < want.length; i++) {
    const [a, b] = [Number(got[i]), Number(want[i])];
    if (Number.isFinite(b)) scale = Math.max(scale, Math.abs(b));
    if (a !== b && !(Number.isNaN(a) && Number.isNaN(b))) worst = Math.max(worst, Number.isFinite(a - b) ? Math.abs(a - b) : 1e9);
  }
  return worst / scale;
}
