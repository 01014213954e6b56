// A lock-free ring buffer of samples in shared memory, between two threads: one writes, the other reads.

import {GraphcError} from '../contract/manifest.js';

const WRITTEN = 0;
const READ = 1;
const LOST = 2;

export class Ring {
  /** A ring for a number of samples, or one over the memory of another ring. */
  constructor(samples, memory = new SharedArrayBuffer(16 + 4 * samples)) {
    if (memory.byteLength !== 16 + 4 * samples) throw new GraphcError('the memory has the size of another ring');
    this.memory = memory;
    this.counts = new Int32Array(memory, 0, 4);
    this.samples = new Float32Array(memory, 16);
  }

  static over(memory) {
    return new Ring((memory.byteLength - 16) / 4, memory);
  }

  /** The number of samples that wait. */
  get waiting() {
    return (Atomics.load(this.counts, WRITTEN) - Atomics.load(this.counts, READ)) | 0;
  }

  /** The number of samples that found no room. */
  get lost() {
    return Atomics.load(this.counts, LOST);
  }

  /** Writes as many samples as there is room for, and returns their number. The rest is lost, and counted. */
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

  /** Reads the waiting samples, at most as many as the array holds, and returns their number. */
  read(into) {
    const count = Math.min(this.waiting, into.length);
    const at = Atomics.load(this.counts, READ) >>> 0;
    for (let i = 0; i < count; i++) into[i] = this.samples[(at + i) % this.samples.length];
    Atomics.add(this.counts, READ, count);
    return count;
  }
}
