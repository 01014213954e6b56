// Samples between two threads that never wait for each other: one writes, one reads, in shared memory.

import {GraphcError} from './manifest.js';

const WRITTEN = 0;
const READ = 1;
const LOST = 2;

export class Ring {
  /** A ring for so many samples, or one over the memory of another. */
  constructor(samples, memory = new SharedArrayBuffer(16 + 4 * samples)) {
    if (memory.byteLength !== 16 + 4 * samples) throw new GraphcError('the memory is that of another ring');
    this.memory = memory;
    this.counts = new Int32Array(memory, 0, 4);
    this.samples = new Float32Array(memory, 16);
  }

  static over(memory) {
    return new Ring((memory.byteLength - 16) / 4, memory);
  }

  /** Samples that wait. */
  get waiting() {
    return (Atomics.load(this.counts, WRITTEN) - Atomics.load(this.counts, READ)) | 0;
  }

  /** Samples that found no room. */
  get lost() {
    return Atomics.load(this.counts, LOST);
  }

  /** Writes what there is room for; the rest is lost, and counted. */
  write(samples) {
    const room = this.samples.length - this.waiting;
    const count = Math.min(room, samples.length);
    const at = Atomics.load(this.counts, WRITTEN) >>> 0;
    for (let i = 0; i < count; i++) this.samples[(at + i) % this.samples.length] = samples[i];
    Atomics.add(this.counts, WRITTEN, count);
    if (count < samples.length) Atomics.add(this.counts, LOST, samples.length - count);
    Atomics.notify(this.counts, WRITTEN);
    return count;
  }

  /** Reads as many samples as wait, at most those of an array; how many. */
  read(into) {
    const count = Math.min(this.waiting, into.length);
    const at = Atomics.load(this.counts, READ) >>> 0;
    for (let i = 0; i < count; i++) into[i] = this.samples[(at + i) % this.samples.length];
    Atomics.add(this.counts, READ, count);
    return count;
  }
}
