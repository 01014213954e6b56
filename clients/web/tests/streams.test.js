// Plays tables of recorded streams (clients/streams.py): GRAPHC_STREAMS=FOLDER node --test tests/streams.test.js

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'node:test';
import * as ort from 'onnxruntime-web';
import {StreamSession} from '../src/stream.js';

ort.env.wasm.numThreads = 1;
const folder = process.env.GRAPHC_STREAMS ?? '';
const tables = folder ? fs.readdirSync(folder).filter((name) => name.endsWith('.stream.json')).sort() : [];
const sessions = new Map();

async function sessionOf(model, {reset, catch_up}) {
  if (reset || catch_up || !sessions.has(model)) {
    const stem = path.join(folder, model.replace(/\.onnx$/, ''));
    const files = Object.fromEntries(
      fs.existsSync(`${stem}.init.npz`) ? [[path.basename(`${stem}.init.npz`), fs.readFileSync(`${stem}.init.npz`)]] : [],
    );
    const manifest = fs.readFileSync(`${stem}.manifest.json`, 'utf8');
    sessions.set(model, await StreamSession.create(ort, manifest, new Uint8Array(fs.readFileSync(`${stem}.onnx`)), {files, reset, catch_up}));
  }
  return sessions.get(model);
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

for (const name of tables)
  test(name, async () => {
    const table = JSON.parse(fs.readFileSync(path.join(folder, name), 'utf8'));
    const fed = fs.readFileSync(path.join(folder, table.input));
    const session = await sessionOf(table.model, table);
    session.reset();
    let at = 0;
    let held;
    let kept;
    let got = Object.fromEntries(table.outputs.map((o) => [o.name, []]));
    const keep = (found) => Object.entries(found).forEach(([output, value]) => got[output].push(value));
    for (const [what, input, frames] of table.steps) {
      if (what === 'push') {
        const port = session.inputs.find((one) => one.name === input);
        const bytes = frames * port.width * port.Array.BYTES_PER_ELEMENT;
        const value = new port.Array(fed.buffer.slice(fed.byteOffset + at, fed.byteOffset + at + bytes));
        at += bytes;
        keep(await session.push({[input]: value}));
      } else if (what === 'snapshot') {
        held = session.snapshot();
        kept = Object.fromEntries(Object.entries(got).map(([output, parts]) => [output, [...parts]]));
      } else if (what === 'resume') {
        session.resume(held);
        got = kept;
      } else if (what === 'reset') {
        session.reset();
        Object.values(got).forEach((parts) => parts.splice(0));
      } else {
        keep(await session.flush());
      }
    }
    for (const output of table.outputs) {
      const port = session.outputs.find((one) => one.name === output.name);
      const frames = got[output.name].reduce((sum, part) => sum + part.frames, 0);
      assert.equal(frames, output.frames, `${output.name}: frames`);
      const whole = new port.Array(frames * port.width);
      const inner = port.width / port.outer;
      let before = 0;
      for (const part of got[output.name]) {
        for (let o = 0; o < port.outer; o++)
          whole.set(part.data.subarray(o * part.frames * inner, (o + 1) * part.frames * inner), (o * frames + before) * inner);
        before += part.frames;
      }
      const raw = fs.readFileSync(path.join(folder, output.file));
      const want = new port.Array(raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.byteLength));
      const off = distance(whole, want);
      assert.ok(off <= 2e-6, `${output.name}: off by ${off}`);
    }
  });
