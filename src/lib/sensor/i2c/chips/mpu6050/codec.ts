/** FS_SEL by ±dps, AFS_SEL by ±g. */
export const gyroscopeCodes: Readonly<Record<number, number>> = { 250: 0, 500: 1, 1000: 2, 2000: 3 };
export const accelerometerCodes: Readonly<Record<number, number>> = { 2: 0, 4: 1, 8: 2, 16: 3 };

/** g a count: 16384 counts a g at ±2 g (register map, ACCEL_XOUT). */
export function gramsPerCount(rangeG: number): number {
  return rangeG / 32768;
}

/** dps a count: 131, 65.5, 32.8 and 16.4 counts (register map, GYRO_XOUT). */
export function dpsPerCount(rangeDps: number): number {
  return 1 / ({ 250: 131, 500: 65.5, 1000: 32.8, 2000: 16.4 }[rangeDps] ?? 131);
}

/** TEMP_OUT → °C (register map, TEMP_OUT). */
export function celsius(raw: number): number {
  return raw / 340 + 36.53;
}

/** Two bytes, high first → −32768…32767. */
export function counts(high: number, low: number): number {
  return ((high << 24) >> 16) | low;
}

/** DLPF_CFG whose bandwidth lies below half of the rate, so that nothing above it folds back; 184 Hz is the widest. */
export function filterCode(rateHz: number): number {
  const bandwidths = [
    [1, 500],
    [2, 200],
    [3, 100],
    [4, 42],
    [5, 20],
  ] as const;
  return bandwidths.find(([, least]) => rateHz >= least)?.[0] ?? 6;
}

/** What a set of the FIFO is made of. */
export interface SetLayout {
  gyroscope: boolean;
  gramsPerCount: number;
  dpsPerCount: number;
}

/** Bytes of one set. */
export function setBytes({ gyroscope }: SetLayout): number {
  return gyroscope ? 12 : 6;
}

/**
 * Sets of the FIFO, Ax Ay Az and Gx Gy Gz, high bytes first → ax, ay, az (g), gx, gy, gz (dps).
 * @param bytes whole sets
 * @param into written from `at` on
 * @returns values that stand at an end of their range
 */
export function decodeSets(layout: SetLayout, bytes: Uint8Array, into: Float64Array, at: number): number {
  const width = setBytes(layout) / 2;
  let saturated = 0;
  for (let word = 0; word < bytes.length / 2; word++) {
    const raw = counts(bytes[2 * word]!, bytes[2 * word + 1]!);
    if (raw === 32767 || raw === -32768) saturated++;
    into[at + word] = raw * (word % width < 3 ? layout.gramsPerCount : layout.dpsPerCount);
  }
  return saturated;
}

/**
 * The factory's response to the self-test in counts, of the codes in SELF_TEST_X to _A: of the accelerometer's x, y, z at ±8 g and the
 * gyroscope's at ±250 dps. 0 where the factory left none (InvenSense, register map 4.2, section on registers 13 to 16).
 */
export function factoryTrim(bytes: Uint8Array): { accelerometer: number[]; gyroscope: number[] } {
  const low = bytes[3]!;
  const accelerometer = [0, 1, 2].map((axis) => {
    const code = ((bytes[axis]! >> 5) << 2) | ((low >> (4 - 2 * axis)) & 0b11);
    return code === 0 ? 0 : 4096 * 0.34 * (0.92 / 0.34) ** ((code - 1) / 30);
  });
  const gyroscope = [0, 1, 2].map((axis) => {
    const code = bytes[axis]! & 0x1f;
    return code === 0 ? 0 : (axis === 1 ? -1 : 1) * 25 * 131 * 1.046 ** (code - 1);
  });
  return { accelerometer, gyroscope };
}
