/** Runs of equal upper halves that are sorted by insertion; longer ones by the engine's own sort. */
const shortRun = 24;

/**
 * Sorts numbers (no NaN) in place: by their upper 32 bits in three passes of a radix sort, then what is equal there. Two to three times
 * as fast as the engine's sort from ten thousand values on.
 * @param scratch at least as long
 */
export function sortNumbers(values: Float64Array, scratch: Float64Array): Float64Array {
  const n = values.length;
  if (n < 2048) return values.sort();
  const first = new Uint32Array(2048);
  const second = new Uint32Array(2048);
  const third = new Uint32Array(1024);
  const keys = new Uint32Array(values.buffer, values.byteOffset, 2 * n);
  for (let i = 0; i < n; i++) {
    const key = ordered(keys[2 * i + 1]!);
    first[key & 2047]!++;
    second[(key >>> 11) & 2047]!++;
    third[key >>> 22]!++;
  }
  for (const counts of [first, second, third]) {
    let sum = 0;
    for (let i = 0; i < counts.length; i++) {
      const count = counts[i]!;
      counts[i] = sum;
      sum += count;
    }
  }
  const other = scratch.subarray(0, n);
  pass(values, other, first, 0, 2047);
  pass(other, values, second, 11, 2047);
  pass(values, other, third, 22, 1023);
  values.set(other);
  mendRuns(values, keys);
  return values;
}

/** The upper half of a double as a number that rises with it: all bits of a negative turned round, the sign of others. */
function ordered(high: number): number {
  return (high & 0x80000000 ? ~high : high | 0x80000000) >>> 0;
}

function pass(from: Float64Array, to: Float64Array, starts: Uint32Array, shift: number, mask: number): void {
  const keys = new Uint32Array(from.buffer, from.byteOffset, 2 * from.length);
  for (let i = 0; i < from.length; i++) {
    const digit = (ordered(keys[2 * i + 1]!) >>> shift) & mask;
    to[starts[digit]!++] = from[i]!;
  }
}

function mendRuns(values: Float64Array, keys: Uint32Array): void {
  const n = values.length;
  for (let start = 0; start < n; ) {
    const key = keys[2 * start + 1];
    let end = start + 1;
    let same = true;
    for (; end < n && keys[2 * end + 1] === key; end++) if (values[end] !== values[start]) same = false;
    if (!same) {
      if (end - start > shortRun) values.subarray(start, end).sort();
      else insertion(values, start, end);
    }
    start = end;
  }
}

function insertion(values: Float64Array, start: number, end: number): void {
  for (let i = start + 1; i < end; i++) {
    const value = values[i]!;
    let at = i;
    for (; at > start && values[at - 1]! > value; at--) values[at] = values[at - 1]!;
    values[at] = value;
  }
}
