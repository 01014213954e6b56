// Streams frames through a pipeline that ends in text, in pieces of the sizes given: node tests/text.js FOLDER FRAMES SIZE...
// Prints every transcript: seconds, whether it is final, tokens, text. FRAMES holds raw float32 frames, one after the other.

import fs from 'node:fs';
import path from 'node:path';
import * as ort from 'onnxruntime-web';
import {TextPipeline} from '../src/pipelines/text.js';

ort.env.wasm.numThreads = 1;
const [folder, frames, ...sizes] = process.argv.slice(2);

/** The rows of some frames as the model has them: (outer, frames, inner). */
function laidOut(rows, {outer, width}) {
  const [frames, inner] = [rows.length / width, width / outer];
  return rows.map((_, i) => rows[(Math.floor(i / inner) % frames) * width + Math.floor(i / (inner * frames)) * inner + (i % inner)]);
}

function show(transcripts) {
  for (const {text, tokens, seconds, final} of transcripts)
    console.log([seconds.toFixed(6), final ? 'final' : 'so far', ...tokens, `[${text}]`].join(' '));
}

try {
  const pipeline = await TextPipeline.open(ort, path.resolve(folder, 'pipeline.manifest.json'));
  const raw = fs.readFileSync(frames);
  const numbers = new Float32Array(raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.byteLength));
  let at = 0;
  for (const size of sizes.map(Number)) {
    const count = size * pipeline.input.width;
    show(await pipeline.push(laidOut(numbers.subarray(at, at + count), pipeline.input)));
    at += count;
  }
  show(await pipeline.flush());
} catch (error) {
  console.log(error.message);
  process.exitCode = 1;
}
