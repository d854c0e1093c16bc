/** Hz by DO, and by OM with FAST_ODR: its modes are as slow as they are quiet. */
export const slowHz = [0.625, 1.25, 2.5, 5, 10, 20, 40, 80] as const;
export const fastHz = [1000, 560, 300, 155] as const;

/** Full scales, ± gauss. */
export const rangesGauss = [4, 8, 12, 16] as const;
/** Of each full scale. */
const countsPerGauss = [6842, 3421, 2281, 1711] as const;

/** The quietest mode of both axes' groups. */
const ultraHigh = 0b11;

/** Gauss of one count. @param range one of `rangesGauss`, gauss */
export function gaussPerCount(range: number): number {
  return 1 / countsPerGauss[rangesGauss.findIndex((each) => each === range)]!;
}

/** CTRL_REG1 and CTRL_REG4: 80 Hz is 0x7C and 0x0C, 300 Hz 0x42 and 0x08. @param rateHz one of `slowHz` and `fastHz` */
export function rateBytes(rateHz: number): { ctrl1: number; ctrl4: number } {
  const slow = slowHz.findIndex((each) => each === rateHz);
  const mode = slow >= 0 ? ultraHigh : fastHz.findIndex((each) => each === rateHz);
  return { ctrl1: (mode << 5) | (slow >= 0 ? slow << 2 : 0b10), ctrl4: mode << 2 };
}

/** CTRL_REG2. */
export function rangeByte(range: number): number {
  return rangesGauss.findIndex((each) => each === range) << 5;
}

/** STATUS_REG: a set is there that was not read, and one before it was overwritten. */
export function statusOf(byte: number): { ready: boolean; overrun: boolean } {
  return { ready: (byte & 0x08) !== 0, overrun: (byte & 0x80) !== 0 };
}

/** OUT_X_L on → gauss. */
export function decode(bytes: Uint8Array, from: number, perCount: number): [number, number, number] {
  const axis = (at: number) => (((bytes[at + 1]! << 24) >> 16) | bytes[at]!) * perCount;
  return [axis(from), axis(from + 2), axis(from + 4)];
}
