import * as z from 'zod';
import { AiotError } from '../../../core/errors.js';
import type { Clock } from '../../../core/time.js';
import { readSettings, type SensorUrl } from '../../url.js';
import { bitsOfRead, type RegisterAccess } from '../bus.js';
import {
  type Chip,
  type ChipPlan,
  type ChipSession,
  type ChipSetting,
  choice,
  type Reading,
  type RegisterTable,
} from '../chip.js';

/** The registers of the BME280 (Bosch, BME280_SensorAPI). The address is incremented in burst reads, but not in writes. */
export const registers = {
  CALIBRATION_1: { address: 0x88 },
  ID: { address: 0xd0 },
  RESET: { address: 0xe0 },
  CALIBRATION_2: { address: 0xe1 },
  CTRL_HUM: { address: 0xf2, bits: { osrs_h: [2, 0] } },
  STATUS: { address: 0xf3, bits: { measuring: 3, im_update: 0 } },
  CTRL_MEAS: { address: 0xf4, bits: { osrs_t: [7, 5], osrs_p: [4, 2], mode: [1, 0] } },
  CONFIG: { address: 0xf5, bits: { t_sb: [7, 5], filter: [4, 2], spi3w_en: 0 } },
  DATA: { address: 0xf7 },
} as const satisfies RegisterTable;

/** Register addresses by name. */
export const reg = Object.fromEntries(
  Object.entries(registers).map(([name, { address }]) => [name, address]),
) as { readonly [Name in keyof typeof registers]: number };

const oversamplings = ['1', '2', '4', '8', '16'];

const settings: readonly ChipSetting[] = [
  { name: 'rate', about: 'samples per second, at most 25', default: '1' },
  {
    name: 'oversampling',
    about: 'measurements averaged per value',
    default: '1',
    choices: oversamplings,
  },
];

/** Bosch's climate sensor, which takes one measurement at a time. */
export const bme280: Chip = {
  name: 'bme280',
  title: 'BME280, temperature, pressure and humidity',
  addresses: [0x76, 0x77],
  registers,
  identity: {
    register: registers.ID.address,
    value: 0x60,
    relatives: { 86: 'BMP280', 87: 'BMP280', 88: 'BMP280', 97: 'BME680' },
  },
  settings,
  plan,
};

interface Bme280Settings {
  /** Code for osrs_t, osrs_p and osrs_h. */
  oversamplingCode: number;
  /** Maximum duration of a measurement, ms. */
  measureMs: number;
}

/** Maximum duration of a measurement with this oversampling for all three quantities, ms (Bosch, bme280_cal_meas_delay). */
export function measureMs(oversampling: number): number {
  return 1.25 + 2.3 * oversampling + 2 * (2.3 * oversampling + 0.575);
}

/** @throws AIOT_SENSOR_URL */
function plan(url: SensorUrl): ChipPlan {
  const read = readSettings(url, {
    rate: z.coerce
      .number('expected samples per second')
      .min(0.01, 'expected at least 0.01')
      .max(25, 'expected at most 25')
      .prefault('1'),
    oversampling: choice(oversamplings).default('1'),
  });
  const everyMs = 1000 / read.rate;
  const chosen = {
    oversamplingCode: oversamplings.indexOf(read.oversampling) + 1,
    measureMs: measureMs(Number(read.oversampling)),
  };
  return {
    fields: [
      { name: 'temperature', unit: 'degC' },
      { name: 'pressure', unit: 'Pa' },
      { name: 'humidity', unit: '%' },
    ],
    rateHz: read.rate,
    everyMs,
    depth: 1,
    timing: 'host',
    // A write that starts the measurement, a status check, and the data.
    bitsPerSecond: read.rate * (9 * 3 + 2 + bitsOfRead(1) + bitsOfRead(8)),
    session: (chip, clock) => new Bme280Session(chip, clock, chosen),
  };
}

const resetCommand = 0xb6;
const forced = 0b01;
const [measuring, updating] = [0x08, 0x01];

/** Maximum number of polls, 2 ms apart, of a flag that should be cleared. */
const mostLooks = 10;

/** Measures on demand. The chip sleeps in between, which keeps it from heating itself. */
class Bme280Session implements ChipSession {
  #calibration: Calibration | undefined;

  constructor(
    private readonly chip: RegisterAccess,
    private readonly clock: Clock,
    private readonly settings: Bme280Settings,
  ) {}

  async reset(): Promise<void> {
    await this.chip.write(reg.RESET, resetCommand);
    await this.clock.sleep(2);
    await this.untilFallen(updating, 'does not respond after its reset');
  }

  async start(): Promise<void> {
    const { chip } = this;
    const first = await chip.read(reg.CALIBRATION_1, calibrationBytes[0]);
    const second = await chip.read(reg.CALIBRATION_2, calibrationBytes[1]);
    const calibration = parseCalibration(first, second);
    // If the chip does not respond, the bytes are all zeros or all ones.
    if (calibration.t1 === 0 || calibration.t1 === 0xffff || calibration.p[0] === 0) {
      throw failed('contains no calibration data');
    }
    this.#calibration = calibration;
    await chip.write(reg.CONFIG, 0x00);
    // The value takes effect with the next write to CTRL_MEAS.
    await chip.write(reg.CTRL_HUM, this.settings.oversamplingCode);
  }

  async read(): Promise<Reading> {
    const { chip, clock, settings } = this;
    const code = settings.oversamplingCode;
    const before = clock.now();
    await chip.write(reg.CTRL_MEAS, (code << 5) | (code << 2) | forced);
    await clock.sleep(settings.measureMs);
    await this.untilFallen(measuring, 'does not finish its measurement');
    const raw = parseRaw(await chip.read(reg.DATA, 8));
    const askedMs = [before, clock.now()] as const;
    const values = new Float64Array(3);
    if (!raw || !this.#calibration) {
      return { values, count: 0, askedMs, broken: true, overrun: false, saturated: 0 };
    }
    const { temperature, pressure, humidity } = compensate(raw, this.#calibration);
    values.set([temperature, pressure, humidity]);
    // A value at a limit of the range in which the formulas are valid counts as saturated.
    const ends = [temperature <= -40, temperature >= 85, pressure <= 30_000, pressure >= 110_000];
    const saturated = ends.filter((end) => end).length;
    return { values, count: 1, askedMs, broken: false, overrun: false, saturated };
  }

  async stop(): Promise<void> {
    await this.chip.write(reg.CTRL_MEAS, 0x00);
  }

  private async untilFallen(flag: number, else_: string): Promise<void> {
    for (let look = 0; look < mostLooks; look++) {
      if (((await this.chip.readByte(reg.STATUS)) & flag) === 0) return;
      await this.clock.sleep(2);
    }
    throw failed(else_);
  }
}

function failed(what: string): AiotError {
  return new AiotError('AIOT_SENSOR_FAILED', `the BME280 ${what}`, { retryable: true });
}

/** Bosch's calibration of the individual chip. The names are those of its driver: t1 is `dig_T1`. */
export interface Calibration {
  t1: number;
  t2: number;
  t3: number;
  /** The values dig_P1 to dig_P9. */
  p: readonly [number, number, number, number, number, number, number, number, number];
  h1: number;
  h2: number;
  h3: number;
  h4: number;
  h5: number;
  h6: number;
}

/** Lengths of the two blocks, which start at 0x88 and 0xE1. */
const calibrationBytes = [26, 7] as const;

/** @param first 26 bytes from 0x88 @param second 7 bytes from 0xE1; one of them contains parts of H4 and H5 */
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

/** The two blocks of a calibration in the chip's format. */
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

/** Raw converter outputs: 20, 20 and 16 bits. */
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

/** Raw values of a converter that was skipped (oversampling 0) or has not run yet, with 20 and with 16 bits. */
const [skipped20, skipped16] = [0x80000, 0x8000];

/** Parses 8 bytes from 0xF7; undefined if nothing was measured. */
export function parseRaw(bytes: Uint8Array): RawReading | undefined {
  const twenty = (at: number) => (bytes[at]! << 12) | (bytes[at + 1]! << 4) | (bytes[at + 2]! >> 4);
  const raw = { pressure: twenty(0), temperature: twenty(3), humidity: (bytes[6]! << 8) | bytes[7]! };
  const skipped = raw.pressure === skipped20 || raw.temperature === skipped20 || raw.humidity === skipped16;
  return skipped ? undefined : raw;
}

/**
 * Compensation in floating point (Bosch, BME280_SensorAPI, the double-precision functions). Pressure is NaN if the calibration is invalid.
 */
export function compensate(raw: RawReading, c: Calibration): Climate {
  const { temperature: t, pressure: p, humidity: h } = raw;
  const exact = (t / 16384 - c.t1 / 1024) * c.t2 + (t / 131072 - c.t1 / 8192) ** 2 * c.t3;
  // For pressure and humidity, Bosch uses the integer part only.
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
 * Compensation in integers, as on microcontrollers (Bosch, BME280_SensorAPI, the 64-bit functions; divisions round towards zero). It
 * verifies the floating-point version.
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
