/** What Bosch measured of this very chip, by the names of its driver: `dig_T1` is t1. */
export interface Calibration {
  t1: number;
  t2: number;
  t3: number;
  /** dig_P1 to dig_P9. */
  p: readonly [number, number, number, number, number, number, number, number, number];
  h1: number;
  h2: number;
  h3: number;
  h4: number;
  h5: number;
  h6: number;
}

/** Bytes of the two blocks: from 0x88 and from 0xE1 on. */
export const calibrationBytes = [26, 7] as const;

/** @param first 26 bytes from 0x88 on @param second 7 bytes from 0xE1 on; H4 and H5 share one of them */
export function parseCalibration(first: Uint8Array, second: Uint8Array): Calibration {
  const one = new DataView(first.buffer, first.byteOffset, first.byteLength);
  const two = new DataView(second.buffer, second.byteOffset, second.byteLength);
  const signed = (at: number) => one.getInt16(at, true);
  return {
    t1: one.getUint16(0, true),
    t2: signed(2),
    t3: signed(4),
    p: [
      one.getUint16(6, true),
      ...([signed(8), signed(10), signed(12), signed(14)] as const),
      ...([signed(16), signed(18), signed(20), signed(22)] as const),
    ],
    h1: one.getUint8(25),
    h2: two.getInt16(0, true),
    h3: two.getUint8(2),
    h4: two.getInt8(3) * 16 + (two.getUint8(4) & 0x0f),
    h5: two.getInt8(5) * 16 + (two.getUint8(4) >> 4),
    h6: two.getInt8(6),
  };
}

/** The two blocks of a calibration, as the chip has them. */
export function calibrationBlocks(calibration: Calibration): { first: Uint8Array; second: Uint8Array } {
  const { t1, t2, t3, p, h1, h2, h3, h4, h5, h6 } = calibration;
  const first = new Uint8Array(calibrationBytes[0]);
  const one = new DataView(first.buffer);
  one.setUint16(0, t1, true);
  one.setInt16(2, t2, true);
  one.setInt16(4, t3, true);
  one.setUint16(6, p[0], true);
  for (let i = 1; i < 9; i++) one.setInt16(6 + 2 * i, p[i]!, true);
  one.setUint8(25, h1);
  const second = new Uint8Array(calibrationBytes[1]);
  const two = new DataView(second.buffer);
  two.setInt16(0, h2, true);
  two.setUint8(2, h3);
  two.setInt8(3, h4 >> 4);
  two.setUint8(4, (h4 & 0x0f) | ((h5 & 0x0f) << 4));
  two.setInt8(5, h5 >> 4);
  two.setInt8(6, h6);
  return { first, second };
}
