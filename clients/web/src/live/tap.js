// An AudioWorklet that passes samples on: through a ring in shared memory, or block by block if the page has none.

import {Ring} from './ring.js';

registerProcessor(
  'graphc-tap',
  class extends AudioWorkletProcessor {
    constructor(options) {
      super();
      const {memory} = options.processorOptions ?? {};
      this.ring = memory ? Ring.over(memory) : null;
    }

    process([channels]) {
      const samples = channels?.[0];
      if (!samples) return true;
      if (this.ring) this.ring.write(samples);
      else this.port.postMessage(samples.slice());
      return true;
    }
  },
);
