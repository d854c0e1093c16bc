/** The last samples, as many as a window to come may need. */
export interface History {
  /** Samples that are there. */
  readonly length: number;
  push(sample: ArrayLike<number>): void;
  /** Gives the last `count` to `each`, oldest first; the array is the history's own. */
  last(count: number, each: (sample: Float64Array) => void): void;
  /** Makes room for so many; what is there stays. */
  reserve(samples: number): void;
  clear(): void;
}

/** @param fields values of one sample */
export function createHistory(fields: number): History {
  let ring = new Float64Array(0);
  let room = 0;
  /** Where the next one goes. */
  let head = 0;
  let length = 0;
  const at = (back: number) => (((head - back + room) % room) + room) % room;
  const history: History = {
    get length() {
      return length;
    },
    push(sample) {
      if (room === 0) return;
      const start = head * fields;
      for (let f = 0; f < fields; f++) ring[start + f] = sample[f]!;
      head = (head + 1) % room;
      if (length < room) length++;
    },
    last(count, each) {
      for (let back = Math.min(count, length); back > 0; back--) {
        const start = at(back) * fields;
        each(ring.subarray(start, start + fields));
      }
    },
    reserve(samples) {
      if (samples <= room) return;
      const larger = new Float64Array(samples * fields);
      let kept = 0;
      history.last(length, (sample) => larger.set(sample, kept++ * fields));
      ring = larger;
      room = samples;
      head = kept % room;
    },
    clear() {
      length = 0;
    },
  };
  return history;
}
