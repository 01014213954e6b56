// A call in a page of headless Chromium over the same call in Node: node tests/latency.js FOLDER MANIFEST, with a folder
// that `graphc client --language web` wrote. Both take turns; prints the medians of a call in milliseconds, as JSON.

import {spawn} from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import * as ort from 'onnxruntime-web';
import {chromium} from 'playwright-core';
import {StreamSession} from '../src/stream.js';

const [folder, manifest] = process.argv.slice(2);
const ROUNDS = 8;
const CALLS = 60;
const median = (all) => [...all].sort((a, b) => a - b)[all.length >> 1];

async function timed(session, calls) {
  const frames = Object.fromEntries(session.inputs.filter((port) => !port.fixed).map((port) => [port.name, new port.Array(port.count)]));
  const spent = [];
  for (let i = 0; i < calls; i++) {
    const start = performance.now();
    await session.push(frames);
    spent.push(performance.now() - start);
  }
  return spent;
}

ort.env.wasm.numThreads = 1;
const stem = path.join(folder, manifest.replace('.manifest.json', ''));
const model = new Uint8Array(fs.readFileSync(`${stem}.onnx`));
const here = await StreamSession.create(ort, fs.readFileSync(`${stem}.manifest.json`, 'utf8'), model);
const server = spawn(process.execPath, ['serve.js', '0'], {cwd: folder});
const url = await new Promise((resolve) => server.stdout.once('data', (line) => resolve(String(line).trim())));
const browser = await chromium.launch({executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox']});
try {
  const page = await browser.newPage();
  await page.goto(url);
  await page.evaluate(
    async ([name, text]) => {
      const ort = await import('/node_modules/onnxruntime-web/dist/ort.wasm.bundle.min.mjs');
      const {StreamSession} = await import('/graphc/stream.js');
      ort.env.wasm.numThreads = 1;
      window.there = await StreamSession.open(ort, new URL(name, location.href).href);
      window.timed = new Function(`return ${text}`)();
    },
    [manifest, timed.toString()],
  );
  const spent = {node: [], page: []};
  for (let round = 0; round < ROUNDS; round++) {
    spent.node.push(...(await timed(here, CALLS)).slice(10));
    spent.page.push(...(await page.evaluate((calls) => window.timed(window.there, calls), CALLS)).slice(10));
  }
  console.log(JSON.stringify({node: median(spent.node), page: median(spent.page)}));
} finally {
  await browser.close();
  server.kill();
}
