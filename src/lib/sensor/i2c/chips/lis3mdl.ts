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
  type SelfTest,
} from '../chip.js';

/** Registers of the LIS3MDL. For reads of several bytes, bit 7 of the first register's address must be set. */
export const registers = {
  WHO_AM_I: { address: 0x0f },
  CTRL_REG1: { address: 0x20, bits: { TEMP_EN: 7, OM: [6, 5], DO: [4, 2], FAST_ODR: 1, ST: 0 } },
  CTRL_REG2: { address: 0x21, bits: { FS: [6, 5], REBOOT: 3, SOFT_RST: 2 } },
  CTRL_REG3: { address: 0x22, bits: { LP: 5, SIM: 2, MD: [1, 0] } },
  CTRL_REG4: { address: 0x23, bits: { OMZ: [3, 2], BLE: 1 } },
  CTRL_REG5: { address: 0x24, bits: { FAST_READ: 7, BDU: 6 } },
  STATUS_REG: {
    address: 0x27,
    bits: { ZYXOR: 7, ZOR: 6, YOR: 5, XOR: 4, ZYXDA: 3, ZDA: 2, YDA: 1, XDA: 0 },
  },
  OUT_X_L: { address: 0x28 },
  TEMP_OUT_L: { address: 0x2e },
} as const satisfies RegisterTable;

/** Register addresses by name. */
export const reg = Object.fromEntries(
  Object.entries(registers).map(([name, { address }]) => [name, address]),
) as { readonly [Name in keyof typeof registers]: number };

/** Auto-increment bit of a register address: each further byte comes from the next register. */
export const increment = 0x80;

/**
 * Rates, Hz. `slowHz` are ordered by the code of DO. `fastHz` are ordered by the code of OM with FAST_ODR; the modes with less noise are
 * slower.
 */
export const slowHz = [0.625, 1.25, 2.5, 5, 10, 20, 40, 80] as const;

export const fastHz = [1000, 560, 300, 155] as const;
const rates = [...slowHz, ...fastHz.toReversed()].map(String);

/** Full scales, ± gauss. */
export const rangesGauss = [4, 8, 12, 16] as const;

const ranges = rangesGauss.map(String);

/**
 * Polling interval as a share of the sample period. It is so short that no sample is overwritten, whatever the offset between the two
 * clocks.
 */
const lookShare = 0.45;

const settings: readonly ChipSetting[] = [
  { name: 'rate', about: 'samples per second', default: '80', choices: rates },
  { name: 'range', about: '± gauss', default: '4', choices: ranges },
];

/** ST's three-axis magnetometer. It has no buffer, so it is polled more often than it samples. */
export const lis3mdl: Chip = {
  name: 'lis3mdl',
  title: 'LIS3MDL, magnetometer',
  addresses: [0x1c, 0x1e],
  registers,
  identity: { register: registers.WHO_AM_I.address, value: 0x3d, relatives: {} },
  settings,
  plan,
};

/** @throws AIOT_SENSOR_URL */
function plan(url: SensorUrl): ChipPlan {
  const read = readSettings(url, {
    rate: choice(rates).default('80'),
    range: choice(ranges).default('4'),
  });
  const rateHz = Number(read.rate);
  const rangeGauss = Number(read.range);
  const everyMs = (lookShare * 1000) / rateHz;
  return {
    fields: ['mx', 'my', 'mz'].map((name) => ({ name, unit: 'gauss' })),
    rateHz,
    everyMs,
    depth: 1,
    timing: 'chip',
    bitsPerSecond: (1000 / everyMs) * bitsOfRead(7),
    session: (chip, clock) => new Lis3mdlSession(chip, clock, { rateHz, rangeGauss }),
  };
}

/** Reads one sample of the three axes at a time, because the chip has no buffer. */
class Lis3mdlSession implements ChipSession {
  readonly #perCount: number;
  readonly #most: number;

  constructor(
    private readonly chip: RegisterAccess,
    private readonly clock: Clock,
    readonly settings: { rateHz: number; rangeGauss: number },
  ) {
    this.#perCount = gaussPerCount(settings.rangeGauss);
    this.#most = 32767 * this.#perCount;
  }

  async reset(): Promise<void> {
    await this.chip.write(reg.CTRL_REG2, 0x04);
    await this.clock.sleep(10);
  }

  selfTest(): Promise<SelfTest> {
    return selfTest(this.chip, this.clock);
  }

  async start(): Promise<void> {
    const { chip, settings } = this;
    const { ctrl1, ctrl4 } = rateBytes(settings.rateHz);
    await chip.write(reg.CTRL_REG1, ctrl1);
    await chip.write(reg.CTRL_REG4, ctrl4);
    await chip.write(reg.CTRL_REG2, rangeByte(settings.rangeGauss));
    await chip.write(reg.CTRL_REG5, 0x40);
    await chip.write(reg.CTRL_REG3, 0x00);
  }

  async read(): Promise<Reading> {
    const before = this.clock.now();
    const bytes = await this.chip.read(reg.STATUS_REG | increment, 7);
    const askedMs = [before, this.clock.now()] as const;
    const { ready, overrun } = statusOf(bytes[0]!);
    if (!ready)
      return { values: new Float64Array(0), count: 0, askedMs, broken: false, overrun: false, saturated: 0 };
    const values = Float64Array.from(decode(bytes, 1, this.#perCount));
    const saturated = values.filter((value) => Math.abs(value) >= this.#most).length;
    return { values, count: 1, askedMs, broken: overrun, overrun, saturated };
  }

  async stop(): Promise<void> {
    await this.chip.write(reg.CTRL_REG3, 0x03);
  }
}

/** Limits for the field that the chip's own coil adds, gauss at ±12 gauss (ST's example for the LIS3MDL). */
const limits = [
  { name: 'mx', least: 1, most: 3 },
  { name: 'my', least: 1, most: 3 },
  { name: 'mz', least: 0.1, most: 1 },
] as const;

const averaged = 5;
const patienceMs = 200;

/** Measures at 80 Hz and ±12 gauss, without and with the coil. Leaves the chip in an undefined state. */
async function selfTest(chip: RegisterAccess, clock: Clock): Promise<SelfTest> {
  await chip.write(reg.CTRL_REG1, 0x1c);
  await chip.write(reg.CTRL_REG2, 0x40);
  await chip.write(reg.CTRL_REG5, 0x40);
  await clock.sleep(20);
  await chip.write(reg.CTRL_REG3, 0x00);
  await clock.sleep(20);
  const without = await average(chip, clock);
  await chip.write(reg.CTRL_REG1, 0x1d);
  await clock.sleep(60);
  const pushed = await average(chip, clock);
  await chip.write(reg.CTRL_REG1, 0x1c);
  await chip.write(reg.CTRL_REG3, 0x03);
  const axes = limits.map(({ name, least, most }, axis) => ({
    name,
    unit: 'gauss',
    change: Math.abs(pushed[axis]! - without[axis]!),
    least,
    most,
  }));
  return { passed: axes.every(({ change, least, most }) => change >= least && change <= most), axes };
}

/** The mean of five samples. The first sample is discarded. */
async function average(chip: RegisterAccess, clock: Clock): Promise<number[]> {
  const sums = [0, 0, 0];
  for (let n = 0; n <= averaged; n++) {
    const values = await sample(chip, clock);
    if (n > 0) for (let axis = 0; axis < 3; axis++) sums[axis]! += values[axis]! / averaged;
  }
  return sums;
}

async function sample(chip: RegisterAccess, clock: Clock): Promise<readonly number[]> {
  for (let waitedMs = 0; waitedMs < patienceMs; waitedMs += 2) {
    const bytes = await chip.read(reg.STATUS_REG | increment, 7);
    if (statusOf(bytes[0]!).ready) return decode(bytes, 1, gaussPerCount(12));
    await clock.sleep(2);
  }
  throw new AiotError('AIOT_SENSOR_FAILED', 'the LIS3MDL sends no samples in its self-test');
}

/** Counts per gauss for each of `rangesGauss`. */
const countsPerGauss = [6842, 3421, 2281, 1711] as const;

/** Code of the mode with the lowest noise, for x and y (OM) and for z (OMZ). */
const ultraHigh = 0b11;

/** Gauss per count. @param range one of `rangesGauss`, gauss */
export function gaussPerCount(range: number): number {
  return 1 / countsPerGauss[rangesGauss.findIndex((each) => each === range)]!;
}

/** Values of CTRL_REG1 and CTRL_REG4: for 80 Hz 0x7C and 0x0C, for 300 Hz 0x42 and 0x08. @param rateHz one of `slowHz` and `fastHz` */
export function rateBytes(rateHz: number): { ctrl1: number; ctrl4: number } {
  const slow = slowHz.findIndex((each) => each === rateHz);
  const mode = slow >= 0 ? ultraHigh : fastHz.findIndex((each) => each === rateHz);
  return { ctrl1: (mode << 5) | (slow >= 0 ? slow << 2 : 0b10), ctrl4: mode << 2 };
}

/** Value of CTRL_REG2 for a range. */
function rangeByte(range: number): number {
  return rangesGauss.findIndex((each) => each === range) << 5;
}

/** Parses STATUS_REG: whether a sample is available, and whether an earlier one was overwritten. */
function statusOf(byte: number): { ready: boolean; overrun: boolean } {
  return { ready: (byte & 0x08) !== 0, overrun: (byte & 0x80) !== 0 };
}

/** Converts six bytes, starting at OUT_X_L, to gauss. */
export function decode(bytes: Uint8Array, from: number, perCount: number): [number, number, number] {
  const axis = (at: number) => (((bytes[at + 1]! << 24) >> 16) | bytes[at]!) * perCount;
  return [axis(from), axis(from + 2), axis(from + 4)];
}
