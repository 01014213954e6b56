// A queue of frames. It grows only when more frames wait in it than ever before.

export class Frames {
  constructor(port) {
    this.port = port;
    this.held = new port.Array(4 * port.frames * port.width);
    this.clear();
  }

  clear() {
    this.begin = this.count = 0;
  }

  copy() {
    const made = Object.assign(Object.create(Frames.prototype), this);
    made.held = this.held.slice();
    return made;
  }

  /** Appends the frames [first, first + count) of data that is laid out as (outer, total, inner). */
  put(data, first, count, total) {
    const {outer, width} = this.port;
    const inner = width / outer;
    this.make_room(count);
    const at = (this.begin + this.count) * width;
    this.count += count;
    if (outer === 1) {
      this.held.set(data.subarray(first * width, (first + count) * width), at);
      return;
    }
    for (let o = 0; o < outer; o++)
      for (let f = 0; f < count; f++)
        for (let i = 0; i < inner; i++)
          this.held[at + f * width + o * inner + i] = data[(o * total + first + f) * inner + i];
  }

  /** Moves the next count frames to the start of an array that is laid out as (outer, total, inner). */
  take(into, count, total) {
    const {outer, width} = this.port;
    const inner = width / outer;
    const at = this.begin * width;
    if (outer === 1) {
      into.set(this.held.subarray(at, at + count * width));
    } else {
      for (let o = 0; o < outer; o++)
        for (let f = 0; f < count; f++)
          for (let i = 0; i < inner; i++)
            into[(o * total + f) * inner + i] = this.held[at + f * width + o * inner + i];
    }
    this.begin += count;
    this.count -= count;
    if (this.count === 0) this.begin = 0;
    return into;
  }

  /** Puts count frames, laid out as `take` gave them, in front of those that wait. */
  give_back(data, count, total) {
    const {width} = this.port;
    const later = this.held.slice(this.begin * width, (this.begin + this.count) * width);
    const more = this.count;
    this.clear();
    this.put(data, 0, count, total);
    this.make_room(more);
    this.held.set(later, (this.begin + this.count) * width);
    this.count += more;
  }

  make_room(count) {
    const {width} = this.port;
    if ((this.begin + this.count + count) * width <= this.held.length) return;
    const kept = this.held.subarray(this.begin * width, (this.begin + this.count) * width);
    const size = (this.count + count) * width;
    if (size <= this.held.length) {
      this.held.copyWithin(0, this.begin * width, (this.begin + this.count) * width);
    } else {
      const wider = new this.port.Array(2 * size);
      wider.set(kept);
      this.held = wider;
    }
    this.begin = 0;
  }
}
