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
  type SelfTest,
} from '../chip.js';

/** The registers of the MPU6050 that are used here (InvenSense, register map revision 4.2). */
export const registers = {
  SELF_TEST_X: { address: 0x0d, bits: { XA_4_2: [7, 5], XG: [4, 0] } },
  SELF_TEST_A: { address: 0x10, bits: { XA_1_0: [5, 4], YA_1_0: [3, 2], ZA_1_0: [1, 0] } },
  SMPLRT_DIV: { address: 0x19 },
  CONFIG: { address: 0x1a, bits: { EXT_SYNC_SET: [5, 3], DLPF_CFG: [2, 0] } },
  GYRO_CONFIG: { address: 0x1b, bits: { XG_ST: 7, YG_ST: 6, ZG_ST: 5, FS_SEL: [4, 3] } },
  ACCEL_CONFIG: { address: 0x1c, bits: { XA_ST: 7, YA_ST: 6, ZA_ST: 5, AFS_SEL: [4, 3] } },
  FIFO_EN: { address: 0x23, bits: { TEMP: 7, XG: 6, YG: 5, ZG: 4, ACCEL: 3 } },
  INT_ENABLE: { address: 0x38 },
  INT_STATUS: { address: 0x3a, bits: { FIFO_OFLOW: 4, I2C_MST: 3, DATA_RDY: 0 } },
  ACCEL_XOUT_H: { address: 0x3b },
  TEMP_OUT_H: { address: 0x41 },
  GYRO_XOUT_H: { address: 0x43 },
  USER_CTRL: { address: 0x6a, bits: { FIFO_EN: 6, I2C_MST_EN: 5, FIFO_RESET: 2, SIG_COND_RESET: 0 } },
  PWR_MGMT_1: { address: 0x6b, bits: { DEVICE_RESET: 7, SLEEP: 6, CYCLE: 5, TEMP_DIS: 3, CLKSEL: [2, 0] } },
  PWR_MGMT_2: { address: 0x6c },
  FIFO_COUNTH: { address: 0x72 },
  FIFO_COUNTL: { address: 0x73 },
  FIFO_R_W: { address: 0x74 },
  WHO_AM_I: { address: 0x75 },
} as const satisfies RegisterTable;

/** Register addresses by name. */
export const reg = Object.fromEntries(
  Object.entries(registers).map(([name, { address }]) => [name, address]),
) as { readonly [Name in keyof typeof registers]: number };

/** Sample rates, Hz: 1 kHz divided by an integer. */
const rates = ['4', '5', '8', '10', '20', '25', '40', '50', '100', '125', '200', '250', '500', '1000'];

const ranges = ['2', '4', '8', '16'];
const gyroscopes = ['off', '250', '500', '1000', '2000'];
export const fifoBytes = 1024;
const defaultEverySeconds = 0.25;

const settings: readonly ChipSetting[] = [
  { name: 'rate', about: 'samples per second', default: '100', choices: rates },
  { name: 'range', about: 'range of the accelerometer, ± g', default: '4', choices: ranges },
  { name: 'gyro', about: 'range of the gyroscope, ± dps, or off', default: '2000', choices: gyroscopes },
  { name: 'watermark', about: 'samples per read', default: 'a quarter of a second' },
];

/** InvenSense's six-axis sensor, which is read through its byte FIFO. */
export const mpu6050: Chip = {
  name: 'mpu6050',
  title: 'MPU6050, accelerometer and gyroscope',
  addresses: [0x68, 0x69],
  registers,
  identity: {
    register: registers.WHO_AM_I.address,
    value: 0x68,
    relatives: { 112: 'MPU6500', 113: 'MPU9250', 114: 'MPU6050 clone (0x72)', 115: 'MPU9255' },
  },
  settings,
  plan,
};

interface Mpu6050Settings {
  rateHz: number;
  rangeG: number;
  /** Range of the gyroscope; null = off. */
  rangeDps: number | null;
}

/** @throws AIOT_SENSOR_URL */
function plan(url: SensorUrl): ChipPlan {
  const read = readSettings(url, {
    rate: choice(rates).default('100'),
    range: choice(ranges).default('4'),
    gyro: choice(gyroscopes).default('2000'),
    watermark: z.coerce.number('expected a number of samples').int().min(1).max(80).optional(),
  });
  const rateHz = Number(read.rate);
  const rangeG = Number(read.range);
  const rangeDps = read.gyro === 'off' ? null : Number(read.gyro);
  const layout: SetLayout = {
    gyroscope: rangeDps !== null,
    gramsPerCount: gramsPerCount(rangeG),
    dpsPerCount: dpsPerCount(rangeDps ?? 250),
  };
  const bytes = setBytes(layout);
  const depth = Math.floor(fifoBytes / bytes) - 3;
  // Nothing is lost if a read is late by one interval.
  const most = Math.floor(depth / 2);
  const watermark = Math.min(read.watermark ?? Math.max(1, Math.floor(rateHz * defaultEverySeconds)), most);
  const everyMs = (watermark * 1000) / rateHz;
  const setsOfBlock = Math.floor(32 / bytes);
  const axes = (names: string[], unit: string) => names.map((name) => ({ name, unit }));
  return {
    fields: [...axes(['ax', 'ay', 'az'], 'g'), ...(rangeDps === null ? [] : axes(['gx', 'gy', 'gz'], 'dps'))],
    rateHz,
    everyMs,
    depth,
    timing: 'chip',
    bitsPerSecond:
      (rateHz / setsOfBlock) * bitsOfRead(setsOfBlock * bytes) + (1000 / everyMs) * bitsOfRead(2),
    session: (chip, clock) => new Mpu6050Session(chip, clock, { rateHz, rangeG, rangeDps }, layout),
  };
}

/**
 * Minimum free space in the FIFO, in sets. With less, bytes may be overwritten, and the set boundaries are then unknown (limit as in
 * Linux).
 */
const leastRoom = 3;

/** Number of times that the count is read again if it is not a multiple of the set size, because a set may be arriving. */
const mostLooks = 3;

/** Reads the chip's FIFO of 1024 bytes. Because it has no markers, it is cleared whenever sets may be misaligned. */
class Mpu6050Session implements ChipSession {
  readonly #setBytes: number;
  readonly #blockBytes: number;
  /** Whether a transaction was interrupted, so that the number of bytes that the chip returned is unknown. */
  #uncertain = false;
  /** Whether no data has arrived since the FIFO was cleared. */
  #cleared = false;

  constructor(
    private readonly chip: RegisterAccess,
    private readonly clock: Clock,
    private readonly settings: Mpu6050Settings,
    private readonly layout: SetLayout,
  ) {
    this.#setBytes = setBytes(layout);
    this.#blockBytes = Math.floor(chip.longest / this.#setBytes) * this.#setBytes;
  }

  async reset(): Promise<void> {
    const { chip, clock } = this;
    await chip.write(reg.PWR_MGMT_1, 0x80);
    await clock.sleep(100);
    // Wakes the chip and selects the gyroscope's clock, which is more accurate than the internal one.
    await chip.write(reg.PWR_MGMT_1, 0x01);
    await clock.sleep(100);
    if ((await chip.readByte(reg.PWR_MGMT_1)) === 0x01) return;
    throw new AiotError('AIOT_SENSOR_FAILED', 'the MPU6050 does not respond after its reset');
  }

  selfTest(): Promise<SelfTest> {
    return selfTest(this.chip, this.clock);
  }

  async start(): Promise<void> {
    const { chip } = this;
    const { rateHz, rangeG, rangeDps } = this.settings;
    await chip.write(reg.FIFO_EN, 0x00);
    await chip.write(reg.SMPLRT_DIV, Math.round(1000 / rateHz) - 1);
    await chip.write(reg.CONFIG, filterCode(rateHz));
    await chip.write(reg.GYRO_CONFIG, (gyroscopeCodes[rangeDps ?? 250] ?? 0) << 3);
    await chip.write(reg.ACCEL_CONFIG, (accelerometerCodes[rangeG] ?? 0) << 3);
    // The gyroscope is the clock source even if it is not read, so its x axis stays on.
    await chip.write(reg.PWR_MGMT_2, rangeDps === null ? 0x03 : 0x00);
    await this.startFifo(chip);
  }

  private async startFifo(chip: RegisterAccess): Promise<void> {
    await chip.write(reg.FIFO_EN, 0x00);
    await chip.write(reg.USER_CTRL, 0x04);
    await chip.write(reg.USER_CTRL, 0x40);
    await chip.write(reg.FIFO_EN, this.layout.gyroscope ? 0x78 : 0x08);
    this.#uncertain = false;
  }

  read(): Promise<Reading> {
    return this.chip.exclusive((chip) => this.drain(chip));
  }

  private async drain(chip: RegisterAccess): Promise<Reading> {
    if (this.#uncertain) return this.clear(chip, false);
    this.#uncertain = true;
    let { bytes, askedMs } = await this.count(chip);
    for (let look = 0; bytes % this.#setBytes !== 0 && look < mostLooks; look++) {
      await this.clock.sleep(0.5);
      ({ bytes, askedMs } = await this.count(chip));
    }
    if (bytes > fifoBytes - leastRoom * this.#setBytes) return this.clear(chip, true);
    if (bytes % this.#setBytes !== 0) return this.clear(chip, false);
    const reading = await this.take(chip, bytes / this.#setBytes);
    const broken = this.#cleared;
    if (reading.count > 0) this.#cleared = false;
    return { ...reading, askedMs, broken: broken && reading.count > 0, overrun: false };
  }

  /** Clears the FIFO, because it overran or is misaligned. The next samples are marked as broken. */
  private async clear(chip: RegisterAccess, overrun: boolean): Promise<Reading> {
    this.#uncertain = true;
    this.#cleared = true;
    const before = this.clock.now();
    await this.startFifo(chip);
    const askedMs = [before, this.clock.now()] as const;
    return { values: new Float64Array(0), count: 0, askedMs, broken: false, overrun, saturated: 0 };
  }

  private async take(chip: RegisterAccess, sets: number) {
    const width = this.#setBytes / 2;
    const values = new Float64Array(sets * width);
    let [count, saturated] = [0, 0];
    try {
      while (count < sets) {
        const bytes = Math.min(this.#blockBytes, (sets - count) * this.#setBytes);
        const block = await chip.read(reg.FIFO_R_W, bytes);
        saturated += decodeSets(this.layout, block, values, count * width);
        count += bytes / this.#setBytes;
      }
      this.#uncertain = false;
    } catch (error) {
      // Earlier sets are complete and are returned. The FIFO is cleared by the next call.
      if (count === 0) throw error;
    }
    return { values, count, saturated };
  }

  /** Number of bytes in the FIFO. Reading the high byte first latches the low one. */
  private async count(chip: RegisterAccess) {
    const before = this.clock.now();
    const [high = 0, low = 0] = await chip.read(reg.FIFO_COUNTH, 2);
    return { bytes: (high << 8) | low, askedMs: [before, this.clock.now()] as const };
  }

  async stop(): Promise<void> {
    await this.chip.write(reg.FIFO_EN, 0x00);
    await this.chip.write(reg.PWR_MGMT_1, 0x41);
  }
}

/** Maximum deviation from the factory's self-test response, %. */
const mostPercent = 14;

/** Settling time of the outputs, and the sample interval at 100 Hz, ms. */
const [settleMs, everyMs] = [250, 10];

const averaged = 20;

/**
 * Deflects the proof masses with the chip's own actuators, and compares the response with the one that the factory stored. It may differ by
 * at most 14 %. Axes without a stored response, as in clones of the chip, are not reported.
 */
async function selfTest(chip: RegisterAccess, clock: Clock): Promise<SelfTest> {
  const trim = factoryTrim(await chip.read(reg.SELF_TEST_X, 4));
  await chip.write(reg.FIFO_EN, 0x00);
  await chip.write(reg.SMPLRT_DIV, 9);
  await chip.write(reg.CONFIG, 0x03);
  // First with all axes deflected, at ±250 dps and ±8 g; then without deflection.
  await chip.write(reg.GYRO_CONFIG, 0xe0, 0xf0);
  await clock.sleep(settleMs);
  const pushed = await average(chip, clock);
  await chip.write(reg.GYRO_CONFIG, 0x00, 0x10);
  await clock.sleep(settleMs);
  const free = await average(chip, clock);
  const factory = [...trim.accelerometer, ...trim.gyroscope];
  const axes = ['ax', 'ay', 'az', 'gx', 'gy', 'gz'].flatMap((name, axis) => {
    const expected = factory[axis]!;
    if (expected === 0) return [];
    const change = (100 * (pushed[axis]! - free[axis]! - expected)) / expected;
    return [{ name, unit: '%', change, least: -mostPercent, most: mostPercent }];
  });
  return { passed: axes.every(({ change }) => Math.abs(change) <= mostPercent), axes };
}

/** Mean outputs of the accelerometer and the gyroscope, counts. */
async function average(chip: RegisterAccess, clock: Clock): Promise<number[]> {
  const sums = new Array<number>(6).fill(0);
  for (let n = 0; n < averaged; n++) {
    await clock.sleep(everyMs);
    const bytes = await chip.read(reg.ACCEL_XOUT_H, 14);
    for (let axis = 0; axis < 6; axis++) {
      // The temperature registers are between those of the accelerometer and the gyroscope.
      const at = axis < 3 ? 2 * axis : 2 * axis + 2;
      sums[axis]! += counts(bytes[at]!, bytes[at + 1]!) / averaged;
    }
  }
  return sums;
}

/** Codes of FS_SEL by ±dps, and of AFS_SEL by ±g. */
export const gyroscopeCodes: Readonly<Record<number, number>> = { 250: 0, 500: 1, 1000: 2, 2000: 3 };

export const accelerometerCodes: Readonly<Record<number, number>> = { 2: 0, 4: 1, 8: 2, 16: 3 };

/** g per count: 16384 counts per g at ±2 g (register map, ACCEL_XOUT). */
export function gramsPerCount(rangeG: number): number {
  return rangeG / 32768;
}

/** dps per count: 131, 65.5, 32.8 and 16.4 counts per dps (register map, GYRO_XOUT). */
export function dpsPerCount(rangeDps: number): number {
  return 1 / ({ 250: 131, 500: 65.5, 1000: 32.8, 2000: 16.4 }[rangeDps] ?? 131);
}

/** Converts TEMP_OUT to °C (register map, TEMP_OUT). */
export function celsius(raw: number): number {
  return raw / 340 + 36.53;
}

/** Converts two bytes, high byte first, to −32768…32767. */
export function counts(high: number, low: number): number {
  return ((high << 24) >> 16) | low;
}

/** The DLPF_CFG that has the largest bandwidth below half the rate, to prevent aliasing. The largest bandwidth in use is 184 Hz. */
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

/** The layout of a FIFO set. */
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
 * Converts FIFO sets, Ax Ay Az and Gx Gy Gz, high bytes first, to ax, ay, az (g), gx, gy, gz (dps).
 * @param bytes whole sets
 * @param into array for the values, which are written from index `at` on
 * @returns number of values at a limit of their range
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
 * The factory's self-test response in counts, from the codes in SELF_TEST_X to _A: x, y, z of the accelerometer at ±8 g, and of the
 * gyroscope at ±250 dps. Zero if the factory stored none (InvenSense, register map 4.2, section on registers 13 to 16).
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
