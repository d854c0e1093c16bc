/** Codes of BW_RATE, from 6.25 Hz on: 3200 Hz halved with each step down from 15. */
export function rateCode(rateHz: number): number {
  return 15 - Math.round(Math.log2(3200 / rateHz));
}

/** Nominal Hz of a code of BW_RATE. */
export function rateOf(code: number): number {
  return 3200 / 2 ** (15 - (code & 0x0f));
}

/** Codes of the range in DATA_FORMAT, by ±g. */
export const rangeCodes: Readonly<Record<number, number>> = { 2: 0, 4: 1, 8: 2, 16: 3 };

/** g a count with FULL_RES, in every range: 256 counts a g. */
export const gramsPerCount = 1 / 256;

/** Two bytes, low first → counts. */
export function counts(low: number, high: number): number {
  return ((high << 24) >> 16) | low;
}

/**
 * Six bytes of one entry → ax, ay, az in g.
 * @param rangeG of which the ends are looked for
 * @returns values that stand at an end of their range
 */
export function decodeEntry(bytes: Uint8Array, rangeG: number, into: Float64Array, at: number): number {
  const most = rangeG * 256 - 1;
  let saturated = 0;
  for (let axis = 0; axis < 3; axis++) {
    const raw = counts(bytes[2 * axis]!, bytes[2 * axis + 1]!);
    if (raw >= most || raw <= -most - 1) saturated++;
    into[at + axis] = raw * gramsPerCount;
  }
  return saturated;
}
