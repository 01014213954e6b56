// Drives a page that `graphc client --language web` wrote, in a headless browser, with a file of sound:
// node tests/drive_page.js FOLDER-OR-URL SOUND.wav [PICTURE.png]. Prints, as JSON, what the page received and how fast.

import {spawn} from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import {chromium} from 'playwright-core';

const [folder, sound, picture] = process.argv.slice(2);
const server = folder.startsWith('http') ? null : spawn(process.execPath, ['serve.js', '0'], {cwd: folder});
const url = server ? await new Promise((resolve) => server.stdout.once('data', (line) => resolve(String(line).trim()))) : folder;
const browser = await chromium.launch({executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--autoplay-policy=no-user-gesture-required']});
const said = [];
try {
  const page = await browser.newPage({viewport: {width: 1000, height: 760}});
  page.on('console', (message) => said.push(message.text()));
  page.on('pageerror', (error) => said.push(String(error)));
  await page.goto(url);
  await page.waitForFunction(() => document.body.dataset.state === 'ready', null, {timeout: 30000});
  const bytes = fs.readFileSync(path.resolve(sound)).toString('base64');
  const samples = await page.evaluate(async (text) => {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
    return window.play(bytes, true);
  }, bytes);
  await page.waitForFunction(() => document.body.dataset.state === 'done', null, {timeout: 60000});
  const found = await page.evaluate(() => ({
    isolated: window.crossOriginIsolated,
    stats: window.stats,
    events: window.events,
    frames: window.received.reduce((sum, one) => sum + one.frames, 0),
    values: window.received.flatMap((one) => Array.from(one.data, Number)),
    darkest: ((canvas) => {
      const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      return Math.min(...data.filter((_, i) => i % 4 === 0 && data[i + 3] > 0));
    })(document.getElementById('spectrum')),
    complaint: document.getElementById('said').textContent,
  }));
  if (picture) await page.screenshot({path: picture});
  console.log(JSON.stringify({samples, said, ...found}));
} finally {
  await browser.close();
  server?.kill();
}
