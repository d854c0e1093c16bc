import type { Calibration } from './calibration.js';

/** What the chip's converters say: 20, 20 and 16 bits. */
export interface RawReading {
  temperature: number;
  pressure: number;
  humidity: number;
}

export interface Climate {
  /** °C. */
  temperature: number;
  /** Pa. */
  pressure: number;
  /** % of relative humidity. */
  humidity: number;
}

/** A converter that was skipped (oversampling 0), or has not run yet. */
const [skipped20, skipped16] = [0x80000, 0x8000];

/** 8 bytes from 0xF7 on; undefined where something was not measured. */
export function parseRaw(bytes: Uint8Array): RawReading | undefined {
  const twenty = (at: number) => (bytes[at]! << 12) | (bytes[at + 1]! << 4) | (bytes[at + 2]! >> 4);
  const raw = { pressure: twenty(0), temperature: twenty(3), humidity: (bytes[6]! << 8) | bytes[7]! };
  const skipped = raw.pressure === skipped20 || raw.temperature === skipped20 || raw.humidity === skipped16;
  return skipped ? undefined : raw;
}

/**
 * Compensation in real numbers (Bosch, BME280_SensorAPI, the double-precision functions). Pressure is NaN where the calibration
 * cannot be right.
 */
export function compensate(raw: RawReading, c: Calibration): Climate {
  const { temperature: t, pressure: p, humidity: h } = raw;
  const exact = (t / 16384 - c.t1 / 1024) * c.t2 + (t / 131072 - c.t1 / 8192) ** 2 * c.t3;
  // For the others Bosch goes on with whole numbers of it.
  const fine = Math.trunc(exact);
  const x = fine - 76800;
  const y = h - (64 * c.h4 + (c.h5 * x) / 16384);
  const k = 1 + (c.h3 * x) / 67108864;
  const m = 1 + (c.h6 * x * k) / 67108864;
  const z = y * (c.h2 / 65536) * k * m;
  return {
    temperature: clamp(exact / 5120, -40, 85),
    pressure: pressureOf(p, fine, c.p),
    humidity: clamp(z * (1 - (c.h1 * z) / 524288), 0, 100),
  };
}

function pressureOf(raw: number, fine: number, p: Calibration['p']): number {
  const [p1, p2, p3, p4, p5, p6, p7, p8, p9] = p;
  const u = fine / 2 - 64000;
  const v = ((u * u * p6) / 32768 + 2 * u * p5) / 4 + 65536 * p4;
  const w = (1 + ((p3 * u * u) / 524288 + p2 * u) / 524288 / 32768) * p1;
  if (w <= 0) return Number.NaN;
  const q = ((1048576 - raw - v / 4096) * 6250) / w;
  return clamp(q + ((p9 * q * q) / 2147483648 + (p8 * q) / 32768 + p7) / 16, 30_000, 110_000);
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(most, Math.max(least, value));
}

/**
 * The same in whole numbers, as microcontrollers compute it (Bosch, BME280_SensorAPI, the 64-bit functions; divisions towards zero):
 * a second opinion on the real numbers.
 */
export function compensateWhole(raw: RawReading, c: Calibration): Climate {
  const n = (value: number) => BigInt(value);
  const [t, p, h] = [n(raw.temperature), n(raw.pressure), n(raw.humidity)];
  const [t1, t2, t3] = [n(c.t1), n(c.t2), n(c.t3)];
  const d = t / 16n - t1;
  const fine = ((t / 8n - 2n * t1) * t2) / 2048n + (((d * d) / 4096n) * t3) / 16384n;
  const centi = (5n * fine + 128n) / 256n;
  return {
    temperature: Number(centi) / 100,
    pressure: wholePressure(p, fine, c.p.map(n)),
    humidity: wholeHumidity(h, fine, c),
  };
}

function wholePressure(p: bigint, fine: bigint, calibration: bigint[]): number {
  const [p1, p2, p3, p4, p5, p6, p7, p8, p9] = calibration as [
    ...[bigint, bigint, bigint, bigint, bigint],
    ...[bigint, bigint, bigint, bigint],
  ];
  const a = fine - 128000n;
  const b = a * a * p6 + a * p5 * 2n ** 17n + p4 * 2n ** 35n;
  const scaled = ((2n ** 47n + ((a * a * p3) / 256n + a * p2 * 4096n)) * p1) / 2n ** 33n;
  if (scaled === 0n) return Number.NaN;
  const e = (((1048576n - p) * 2n ** 31n - b) * 3125n) / scaled;
  const down = e / 8192n;
  const result = (e + (p9 * down * down) / 2n ** 25n + (p8 * e) / 2n ** 19n) / 256n + 16n * p7;
  return Number(((result / 2n) * 100n) / 128n) / 100;
}

function wholeHumidity(h: bigint, fine: bigint, c: Calibration): number {
  const [h1, h2, h3, h4, h5, h6] = [c.h1, c.h2, c.h3, c.h4, c.h5, c.h6].map((value) => BigInt(value)) as [
    ...[bigint, bigint, bigint],
    ...[bigint, bigint, bigint],
  ];
  const a = fine - 76800n;
  const b = (16384n * h - 2n ** 20n * h4 - h5 * a + 16384n) / 32768n;
  const g = (a * h6) / 1024n;
  const k = (a * h3) / 2048n;
  const l = (g * (k + 32768n)) / 1024n + 2097152n;
  const m = (l * h2 + 8192n) / 16384n;
  const product = b * m;
  const q = product / 32768n;
  const bent = product - (((q * q) / 128n) * h1) / 16n;
  const held = bent < 0n ? 0n : bent > 419430400n ? 419430400n : bent;
  return Number(held / 4096n) / 1024;
}
