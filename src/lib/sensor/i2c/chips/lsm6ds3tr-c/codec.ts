/** Codes of the output data rates: upper four bits of CTRL1_XL and CTRL2_G, and ODR_FIFO (data sheet, tables 52 and 55). */
const rateCodes: Readonly<Record<number, number>> = {
  12.5: 1,
  26: 2,
  52: 3,
  104: 4,
  208: 5,
  416: 6,
  833: 7,
  1666: 8,
  3332: 9,
  6664: 10,
};

/** Nominal Hz by the code. */
export const ratesHz = [0, 12.5, 26, 52, 104, 208, 416, 833, 1666, 3332, 6664] as const;

/** FS_XL by ±g: not in their order (table 52). */
export const accelerometerCodes: Readonly<Record<number, number>> = { 2: 0, 16: 1, 4: 2, 8: 3 };
/** FS_G by ±dps; 125 has a bit of its own (table 55). */
export const gyroscopeCodes: Readonly<Record<number, number>> = { 250: 0, 500: 1, 1000: 2, 2000: 3 };

/** g a count at ±`range` g: 0.061 mg at ±2 g (table 3). */
export function gramsPerCount(range: number): number {
  return (range / 2) * 0.061e-3;
}

/** dps a count at ±`range` dps: 4.375 mdps at ±125 dps (table 3). */
export function dpsPerCount(range: number): number {
  return (range / 125) * 4.375e-3;
}

/** Two bytes, low first → −32768…32767. */
export function counts(low: number, high: number): number {
  return ((high << 24) >> 16) | low;
}

/** OUT_TEMP → °C: 256 counts a degree, 0 at 25 °C. */
export function celsius(raw: number): number {
  return raw / 256 + 25;
}

/** CTRL1_XL: 104 Hz at ±4 g is 0x48. */
export function ctrl1(rateHz: number, range: number): number {
  return (rateCodes[rateHz]! << 4) | (accelerometerCodes[range]! << 2);
}

/** CTRL2_G: 104 Hz at ±2000 dps is 0x4C, ±125 dps 0x42. */
export function ctrl2(rateHz: number, range: number): number {
  return (rateCodes[rateHz]! << 4) | (range === 125 ? 0b10 : gyroscopeCodes[range]! << 2);
}

export interface FifoStatus {
  /** Words that are not read yet; 0 also after an overrun. */
  words: number;
  watermark: boolean;
  overrun: boolean;
  full: boolean;
  empty: boolean;
  /** Which word of the pattern comes next. */
  pattern: number;
}

/** FIFO_STATUS1 to 4. After an overrun DIFF_FIFO is 0 and FIFO_EMPTY is not set (application note AN5130, FIFO). */
export function fifoStatus(bytes: Uint8Array): FifoStatus {
  const [low = 0, flags = 0, pattern = 0, high = 0] = bytes;
  const words = low | ((flags & 0b111) << 8);
  const empty = (flags & 0x10) !== 0;
  return {
    words,
    watermark: (flags & 0x80) !== 0,
    overrun: (flags & 0x40) !== 0 || (words === 0 && !empty),
    full: (flags & 0x20) !== 0,
    empty,
    pattern: pattern | ((high & 0b11) << 8),
  };
}

/** From here on up a word says that a filter has not settled (DRDY_MASK), or is at the end of its range. */
export const firstUnsettled = 0x7ffd;

/** What a set of the FIFO is made of, and how it becomes values. */
export interface FifoLayout {
  gyroscope: boolean;
  gramsPerCount: number;
  dpsPerCount: number;
}

/** Words of one set: gyroscope's three, then the accelerometer's. */
export function wordsOf(layout: FifoLayout): number {
  return layout.gyroscope ? 6 : 3;
}

/**
 * Words as the FIFO gives them → ax, ay, az (g), then gx, gy, gz (dps).
 * @param bytes whole sets: Gx Gy Gz Ax Ay Az, or Ax Ay Az, low byte first
 * @param into written from `at` on
 * @returns values that stand at an end of their range
 */
export function decodeSets(layout: FifoLayout, bytes: Uint8Array, into: Float64Array, at: number): number {
  const words = wordsOf(layout);
  const { gramsPerCount: g, dpsPerCount: dps } = layout;
  let saturated = 0;
  for (let from = 0, to = at; from < bytes.length; from += 2 * words, to += words) {
    for (let word = 0; word < words; word++) {
      const raw = counts(bytes[from + 2 * word]!, bytes[from + 2 * word + 1]!);
      if (raw >= firstUnsettled || raw <= -32767) saturated++;
      if (words === 3) into[to + word] = raw * g;
      else if (word < 3) into[to + 3 + word] = raw * dps;
      else into[to + word - 3] = raw * g;
    }
  }
  return saturated;
}

/** Whether a set has a word of a filter that has not settled. */
export function unsettled(bytes: Uint8Array, from: number, words: number): boolean {
  for (let word = 0; word < words; word++)
    if (counts(bytes[from + 2 * word]!, bytes[from + 2 * word + 1]!) >= firstUnsettled) return true;
  return false;
}
