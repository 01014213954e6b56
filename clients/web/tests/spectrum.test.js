// What the page draws of the sound: every tone stands in one band, as loud as it is.

import assert from 'node:assert/strict';
import {test} from 'node:test';
import {Spectrum} from '../src/live/spectrum.js';

for (const rate of [8000, 16000, 48000])
  test(`tones at ${rate} samples a second`, () => {
    let before = -1;
    for (let hz = 80; hz < 0.42 * rate; hz *= 1.13) {
      const tone = Float32Array.from({length: rate / 4}, (_, i) => 0.1 * Math.sin((2 * Math.PI * hz * i) / rate));
      const column = new Spectrum(rate).columns(tone).at(-1);
      const loudest = Math.max(...column);
      assert.ok(Math.abs(loudest + 22) <= 4, `${hz} Hz has ${loudest} dB`);
      const band = column.indexOf(loudest);
      assert.ok(band >= before, 'a higher tone stands no lower');
      before = band;
    }
  });

test('samples come in any number, and silence is quiet', () => {
  const spectrum = new Spectrum(16000);
  let columns = 0;
  for (let at = 0; at < 16000; at += 77) columns += spectrum.columns(new Float32Array(Math.min(77, 16000 - at))).length;
  assert.equal(columns, 50);
  assert.ok(spectrum.columns(new Float32Array(320))[0].every((one) => one === -100));
});
