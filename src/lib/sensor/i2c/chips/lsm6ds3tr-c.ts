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

/** The registers of the LSM6DS3TR-C's user bank that are used here (data sheet DocID030071 rev 3, section 8). */
export const registers = {
  FIFO_CTRL1: { address: 0x06, bits: { FTH_7_0: [7, 0] } },
  FIFO_CTRL2: {
    address: 0x07,
    bits: { TIMER_PEDO_FIFO_EN: 7, TIMER_PEDO_FIFO_DRDY: 6, FIFO_TEMP_EN: 3, FTH_10_8: [2, 0] },
  },
  FIFO_CTRL3: { address: 0x08, bits: { DEC_FIFO_GYRO: [5, 3], DEC_FIFO_XL: [2, 0] } },
  FIFO_CTRL4: {
    address: 0x09,
    bits: { STOP_ON_FTH: 7, ONLY_HIGH_DATA: 6, DEC_DS4_FIFO: [5, 3], DEC_DS3_FIFO: [2, 0] },
  },
  FIFO_CTRL5: { address: 0x0a, bits: { ODR_FIFO: [6, 3], FIFO_MODE: [2, 0] } },
  INT1_CTRL: { address: 0x0d, bits: { INT1_FULL_FLAG: 5, INT1_FIFO_OVR: 4, INT1_FTH: 3 } },
  WHO_AM_I: { address: 0x0f },
  CTRL1_XL: { address: 0x10, bits: { ODR_XL: [7, 4], FS_XL: [3, 2], LPF1_BW_SEL: 1, BW0_XL: 0 } },
  CTRL2_G: { address: 0x11, bits: { ODR_G: [7, 4], FS_G: [3, 2], FS_125: 1 } },
  CTRL3_C: {
    address: 0x12,
    bits: { BOOT: 7, BDU: 6, H_LACTIVE: 5, PP_OD: 4, SIM: 3, IF_INC: 2, BLE: 1, SW_RESET: 0 },
  },
  CTRL4_C: { address: 0x13, bits: { SLEEP: 6, DRDY_MASK: 3, I2C_disable: 2, LPF1_SEL_G: 1 } },
  CTRL5_C: { address: 0x14, bits: { ROUNDING: [7, 5], ST_G: [3, 2], ST_XL: [1, 0] } },
  CTRL6_C: { address: 0x15, bits: { XL_HM_MODE: 4, USR_OFF_W: 3, FTYPE: [1, 0] } },
  CTRL7_G: { address: 0x16, bits: { G_HM_MODE: 7, HP_EN_G: 6, HPM_G: [5, 4] } },
  CTRL8_XL: { address: 0x17, bits: { LPF2_XL_EN: 7, HPCF_XL: [6, 5] } },
  CTRL9_XL: { address: 0x18 },
  CTRL10_C: { address: 0x19, bits: { TIMER_EN: 5, FUNC_EN: 2 } },
  STATUS_REG: { address: 0x1e, bits: { TDA: 2, GDA: 1, XLDA: 0 } },
  OUT_TEMP_L: { address: 0x20 },
  OUTX_L_G: { address: 0x22 },
  OUTX_L_XL: { address: 0x28 },
  FIFO_STATUS1: { address: 0x3a, bits: { DIFF_FIFO_7_0: [7, 0] } },
  FIFO_STATUS2: {
    address: 0x3b,
    bits: { WaterM: 7, OVER_RUN: 6, FIFO_FULL_SMART: 5, FIFO_EMPTY: 4, DIFF_FIFO_10_8: [2, 0] },
  },
  FIFO_STATUS3: { address: 0x3c, bits: { FIFO_PATTERN_7_0: [7, 0] } },
  FIFO_STATUS4: { address: 0x3d, bits: { FIFO_PATTERN_9_8: [1, 0] } },
  FIFO_DATA_OUT_L: { address: 0x3e },
  TIMESTAMP0: { address: 0x40 },
  TIMESTAMP2: { address: 0x42 },
  WAKE_UP_DUR: { address: 0x5c, bits: { TIMER_HR: 4 } },
  X_OFS_USR: { address: 0x73 },
  Y_OFS_USR: { address: 0x74 },
  Z_OFS_USR: { address: 0x75 },
} as const satisfies RegisterTable;

/** Register addresses by name. */
export const reg = Object.fromEntries(
  Object.entries(registers).map(([name, { address }]) => [name, address]),
) as { readonly [Name in keyof typeof registers]: number };

/** Nominal rates by their code in ODR_XL and ODR_G, Hz. */
export const ratesHz = [0, 12.5, 26, 52, 104, 208, 416, 833, 1666, 3332, 6664] as const;

const rates = ratesHz.slice(1).map(String);
const ranges = ['2', '4', '8', '16'];
const gyroscopes = ['off', '125', '250', '500', '1000', '2000'];

/** Number of words in the FIFO above which it overwrites the oldest. */
const fifoWords = 2046;

/** Default polling interval, s. */
const defaultEverySeconds = 0.25;

const settings: readonly ChipSetting[] = [
  { name: 'rate', about: 'samples per second', default: '104', choices: rates },
  { name: 'range', about: 'range of the accelerometer, ± g', default: '4', choices: ranges },
  { name: 'gyro', about: 'range of the gyroscope, ± dps, or off', default: '2000', choices: gyroscopes },
  {
    name: 'watermark',
    about: 'samples per read, up to three quarters of the FIFO',
    default: 'a quarter of a second',
  },
];

/** ST's six-axis sensor, which is read through its FIFO. */
export const lsm6ds3trc: Chip = {
  name: 'lsm6ds3tr-c',
  title: 'LSM6DS3TR-C, accelerometer and gyroscope',
  addresses: [0x6a, 0x6b],
  registers,
  identity: {
    register: registers.WHO_AM_I.address,
    value: 0x6a,
    // The LSM6DSL has the same identity and is compatible.
    relatives: { 105: 'LSM6DS3', 108: 'LSM6DSOX' },
  },
  settings,
  plan,
};

/** The settings in the form in which they are written to the chip. */
interface Lsm6ds3trcSettings {
  rateHz: number;
  rangeG: number;
  /** Range of the gyroscope; null = off. */
  rangeDps: number | null;
  /** Number of samples at which the FIFO is read. */
  watermark: number;
  /** Bytes of one sample in the FIFO. */
  setBytes: number;
}

/** @throws AIOT_SENSOR_URL */
function plan(url: SensorUrl): ChipPlan {
  const read = readSettings(url, {
    rate: choice(rates).default('104'),
    range: choice(ranges).default('4'),
    gyro: choice(gyroscopes).default('2000'),
    watermark: z.coerce.number('expected a number of samples').int().min(1).max(512).optional(),
  });
  const rateHz = Number(read.rate);
  const rangeDps = read.gyro === 'off' ? null : Number(read.gyro);
  const rangeG = Number(read.range);
  const layout = {
    gyroscope: rangeDps !== null,
    gramsPerCount: gramsPerCount(rangeG),
    dpsPerCount: dpsPerCount(rangeDps ?? 125),
  };
  const words = wordsOf(layout);
  const depth = Math.floor(fifoWords / words);
  // By default, nothing is lost if a read is up to three times as late as usual. An explicit setting may leave less margin.
  const usual = Math.min(Math.max(1, Math.floor(rateHz * defaultEverySeconds)), Math.floor(depth / 4));
  const watermark = Math.min(read.watermark ?? usual, Math.floor((3 * depth) / 4));
  const everyMs = (watermark * 1000) / rateHz;
  const setBytes = 2 * words;
  const setsOfBlock = Math.floor(32 / setBytes);
  const chosen: Lsm6ds3trcSettings = { rateHz, rangeG, rangeDps, watermark, setBytes };
  const axes = (names: string[], unit: string) => names.map((name) => ({ name, unit }));
  return {
    fields: [...axes(['ax', 'ay', 'az'], 'g'), ...(rangeDps === null ? [] : axes(['gx', 'gy', 'gz'], 'dps'))],
    rateHz,
    everyMs,
    depth,
    timing: 'chip',
    bitsPerSecond:
      (rateHz / setsOfBlock) * bitsOfRead(setsOfBlock * setBytes) + (1000 / everyMs) * bitsOfRead(4),
    session: (chip, clock) => new Lsm6ds3trcSession(chip, clock, chosen, layout),
  };
}

/** Maximum time in which start-up samples are recognized, ms. The same words later count as values at the limit of their range. */
const settleMs = 500;

/** Number of attempts to make room after an overrun. After that, the FIFO is cleared. */
const mostRounds = 8;

/** Code of continuous mode, in which the oldest data is overwritten. */
const continuous = 0b110;

/** Reads the chip's FIFO in whole sets, according to AN5130, sections 1.6 to 1.8. */
class Lsm6ds3trcSession implements ChipSession {
  readonly #words: number;
  readonly #blockBytes: number;
  /** Whether a transaction was interrupted, so that the number of words that the chip returned is unknown. */
  #uncertain = false;
  #settlingUntilMs = 0;
  #first = true;

  constructor(
    private readonly chip: RegisterAccess,
    private readonly clock: Clock,
    private readonly settings: Lsm6ds3trcSettings,
    private readonly layout: FifoLayout,
  ) {
    this.#words = wordsOf(layout);
    this.#blockBytes = Math.floor(chip.longest / settings.setBytes) * settings.setBytes;
  }

  async reset(): Promise<void> {
    const { chip } = this;
    // The order that ST specifies: gyroscope off, accelerometer in high-performance mode, then the reset.
    await chip.write(reg.CTRL2_G, 0x00);
    await chip.write(reg.CTRL1_XL, 0x60);
    await chip.write(reg.CTRL3_C, 0x01);
    for (let tries = 0; tries < 10; tries++) {
      await this.clock.sleep(1);
      if (((await chip.readByte(reg.CTRL3_C)) & 1) === 0) return;
    }
    throw new AiotError('AIOT_SENSOR_FAILED', 'the LSM6DS3TR-C does not respond after its reset');
  }

  selfTest(): Promise<SelfTest> {
    return selfTest(this.chip, this.clock);
  }

  async start(): Promise<void> {
    const { chip, settings } = this;
    const { rateHz, rangeG, rangeDps } = settings;
    const threshold = settings.watermark * this.#words;
    await chip.write(reg.CTRL3_C, 0x44);
    await chip.write(reg.FIFO_CTRL5, 0x00);
    await chip.write(reg.CTRL4_C, 0x08);
    await chip.write(reg.FIFO_CTRL1, threshold & 0xff, threshold >> 8);
    await chip.write(reg.FIFO_CTRL3, rangeDps === null ? 0x01 : 0x09, 0x00);
    await chip.write(reg.CTRL1_XL, ctrl1(rateHz, rangeG));
    await chip.write(reg.CTRL2_G, rangeDps === null ? 0x00 : ctrl2(rateHz, rangeDps));
    await this.startFifo();
    this.#settlingUntilMs = this.clock.now() + settleMs;
    this.#uncertain = false;
  }

  /** Starts the FIFO. Bypass mode comes first, because it clears the contents. */
  private async startFifo(): Promise<void> {
    await this.chip.write(reg.FIFO_CTRL5, 0x00);
    await this.chip.write(reg.FIFO_CTRL5, ((ctrl1(this.settings.rateHz, 2) >> 4) << 3) | continuous);
    this.#first = true;
  }

  read(): Promise<Reading> {
    return this.chip.exclusive((chip) => this.drain(chip));
  }

  private async drain(chip: RegisterAccess): Promise<Reading> {
    const words = this.#words;
    let broken = this.#uncertain;
    this.#uncertain = true;
    let { status, askedMs } = await this.status(chip);
    const overrun = status.overrun;
    for (let round = 0; status.overrun && round < mostRounds; round++) {
      // Words that were being overwritten while they were read are unreliable. They are read to make room, and discarded.
      await this.discard(chip, ((words - status.pattern) % words) + this.#blockBytes / 2);
      ({ status, askedMs } = await this.status(chip));
    }
    if (status.overrun) {
      await this.startFifo();
      status = { ...status, words: 0, pattern: 0 };
    }
    if (overrun) broken = true;
    let available = status.words;
    if (status.pattern !== 0 && available > 0) {
      const skip = Math.min(available, (words - status.pattern) % words);
      await this.discard(chip, skip);
      available -= skip;
      broken = true;
    }
    const reading = await this.take(chip, Math.floor(available / words));
    return { ...reading, askedMs, broken, overrun };
  }

  /** Reads sets. If a read is interrupted, the earlier sets are returned. */
  private async take(chip: RegisterAccess, sets: number) {
    const { setBytes } = this.settings;
    const fields = this.#words;
    const values = new Float64Array(sets * fields);
    let count = 0;
    let saturated = 0;
    let taken = 0;
    try {
      while (taken < sets) {
        const bytes = Math.min(this.#blockBytes, (sets - taken) * setBytes);
        let block = await chip.read(reg.FIFO_DATA_OUT_L, bytes);
        taken += bytes / setBytes;
        if (this.#settlingUntilMs > 0) block = this.settled(block);
        saturated += decodeSets(this.layout, block, values, count * fields);
        count += block.length / setBytes;
      }
      this.#uncertain = false;
    } catch (error) {
      if (count === 0) throw error;
    }
    return { values, count, saturated, left: sets - taken };
  }

  /** Drops sets that were taken while the filters started up: the very first one, and those that the chip marks (DRDY_MASK). */
  private settled(block: Uint8Array): Uint8Array {
    const { setBytes } = this.settings;
    let from = 0;
    if (this.#first) from += setBytes;
    this.#first = false;
    if (this.clock.now() > this.#settlingUntilMs) this.#settlingUntilMs = 0;
    else while (from < block.length && unsettled(block, from, this.#words)) from += setBytes;
    return block.subarray(Math.min(from, block.length));
  }

  private async status(chip: RegisterAccess) {
    const before = this.clock.now();
    const bytes = await chip.read(reg.FIFO_STATUS1, 4);
    return { status: fifoStatus(bytes), askedMs: [before, this.clock.now()] as const };
  }

  private async discard(chip: RegisterAccess, words: number): Promise<void> {
    const most = 2 * Math.floor(chip.longest / 2);
    for (let left = 2 * words; left > 0; left -= most)
      await chip.read(reg.FIFO_DATA_OUT_L, Math.min(most, left));
  }

  async stop(): Promise<void> {
    await this.chip.write(reg.FIFO_CTRL5, 0x00);
    await this.chip.write(reg.CTRL2_G, 0x00);
    await this.chip.write(reg.CTRL1_XL, 0x00);
  }
}

interface Procedure {
  names: readonly [string, string, string];
  unit: string;
  /** Values of CTRL1_XL and CTRL2_G. */
  on: readonly [number, number];
  /** Value of CTRL5_C that deflects the proof mass in the positive direction. */
  push: number;
  /** Bit of STATUS_REG that indicates a new sample. */
  ready: number;
  output: number;
  perCount: number;
  settleMs: number;
  pushedMs: number;
  least: number;
  most: number;
}

/** Self-test procedures of AN5130 (figures 36 and 37): 52 Hz at ±4 g, 208 Hz at ±2000 dps. */
const procedures: readonly Procedure[] = [
  {
    names: ['ax', 'ay', 'az'],
    unit: 'g',
    on: [0x38, 0x00],
    push: 0x01,
    ready: 0b01,
    output: reg.OUTX_L_XL,
    perCount: gramsPerCount(4),
    settleMs: 100,
    pushedMs: 100,
    least: 0.09,
    most: 1.7,
  },
  {
    names: ['gx', 'gy', 'gz'],
    unit: 'dps',
    on: [0x00, 0x5c],
    push: 0x04,
    ready: 0b10,
    output: reg.OUTX_L_G,
    perCount: dpsPerCount(2000),
    settleMs: 150,
    pushedMs: 50,
    least: 150,
    most: 700,
  },
];

/** Number of samples averaged in a self-test. */
const averaged = 5;

/** Longest wait for a sample, ms. */
const patienceMs = 200;

/**
 * Deflects the proof masses with the chip's own actuators and checks how far the outputs move. The chip must lie still, and is left in an
 * undefined state.
 * @param leastG minimum shift of the accelerometer, which is lower for a related chip; g
 */
export async function selfTest(chip: RegisterAccess, clock: Clock, leastG?: number): Promise<SelfTest> {
  const axes: SelfTest['axes'][number][] = [];
  // Writes CTRL3_C (BDU, IF_INC), then CTRL4_C to CTRL10_C.
  await chip.write(reg.CTRL3_C, 0x44, 0, 0, 0, 0, 0, 0, 0);
  for (const procedure of procedures) {
    const { names, unit, most } = procedure;
    const least = unit === 'g' && leastG !== undefined ? leastG : procedure.least;
    await chip.write(reg.CTRL1_XL, ...procedure.on);
    await clock.sleep(procedure.settleMs);
    const before = await average(chip, clock, procedure);
    await chip.write(reg.CTRL5_C, procedure.push);
    await clock.sleep(procedure.pushedMs);
    const pushed = await average(chip, clock, procedure);
    await chip.write(reg.CTRL1_XL, 0x00, 0x00);
    await chip.write(reg.CTRL5_C, 0x00);
    names.forEach((name, axis) => {
      axes.push({ name, unit, change: Math.abs(pushed[axis]! - before[axis]!), least, most });
    });
  }
  return { passed: axes.every(({ change, least, most }) => change >= least && change <= most), axes };
}

/** The mean of five samples. The first sample is discarded. */
async function average(chip: RegisterAccess, clock: Clock, procedure: Procedure): Promise<number[]> {
  const sums = [0, 0, 0];
  await sample(chip, clock, procedure);
  for (let n = 0; n < averaged; n++) {
    const bytes = await sample(chip, clock, procedure);
    for (let axis = 0; axis < 3; axis++)
      sums[axis]! += (counts(bytes[2 * axis]!, bytes[2 * axis + 1]!) * procedure.perCount) / averaged;
  }
  return sums;
}

async function sample(chip: RegisterAccess, clock: Clock, { ready, output }: Procedure): Promise<Uint8Array> {
  for (let waitedMs = 0; waitedMs < patienceMs; waitedMs += 2) {
    if (((await chip.readByte(reg.STATUS_REG)) & ready) !== 0) return chip.read(output, 6);
    await clock.sleep(2);
  }
  throw new AiotError('AIOT_SENSOR_FAILED', 'the chip sends no samples in its self-test');
}

/** Codes of the output data rates, for the upper four bits of CTRL1_XL and CTRL2_G, and for ODR_FIFO (data sheet, tables 52 and 55). */
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

/** Codes of FS_XL by ±g, which are not in ascending order (table 52). */
export const accelerometerCodes: Readonly<Record<number, number>> = { 2: 0, 16: 1, 4: 2, 8: 3 };

/** Codes of FS_G by ±dps. For ±125 dps there is a separate bit (table 55). */
export const gyroscopeCodes: Readonly<Record<number, number>> = { 250: 0, 500: 1, 1000: 2, 2000: 3 };

/** g per count at ±`range` g: 0.061 mg at ±2 g (table 3). */
export function gramsPerCount(range: number): number {
  return (range / 2) * 0.061e-3;
}

/** dps per count at ±`range` dps: 4.375 mdps at ±125 dps (table 3). */
export function dpsPerCount(range: number): number {
  return (range / 125) * 4.375e-3;
}

/** Converts two bytes, low byte first, to −32768…32767. */
export function counts(low: number, high: number): number {
  return ((high << 24) >> 16) | low;
}

/** Converts OUT_TEMP to °C: 256 counts per degree, 0 at 25 °C. */
export function celsius(raw: number): number {
  return raw / 256 + 25;
}

/** Value of CTRL1_XL; for 104 Hz at ±4 g it is 0x48. */
export function ctrl1(rateHz: number, range: number): number {
  return (rateCodes[rateHz]! << 4) | (accelerometerCodes[range]! << 2);
}

/** Value of CTRL2_G; for 104 Hz it is 0x4C at ±2000 dps, and 0x42 at ±125 dps. */
export function ctrl2(rateHz: number, range: number): number {
  return (rateCodes[rateHz]! << 4) | (range === 125 ? 0b10 : gyroscopeCodes[range]! << 2);
}

interface FifoStatus {
  /** Number of unread words. It is also 0 after an overrun. */
  words: number;
  watermark: boolean;
  overrun: boolean;
  full: boolean;
  empty: boolean;
  /** Position of the next word within the FIFO pattern. */
  pattern: number;
}

/** Parses FIFO_STATUS1 to 4. After an overrun DIFF_FIFO is 0 and FIFO_EMPTY is not set (application note AN5130, FIFO). */
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

/** Smallest word that marks an unsettled filter (DRDY_MASK) or a value at the limit of its range. */
export const firstUnsettled = 0x7ffd;

/** The layout of a FIFO set, and the factors for its conversion. */
interface FifoLayout {
  gyroscope: boolean;
  gramsPerCount: number;
  dpsPerCount: number;
}

/** Number of words per set: three for the gyroscope, then three for the accelerometer. */
function wordsOf(layout: FifoLayout): number {
  return layout.gyroscope ? 6 : 3;
}

/**
 * Converts words from the FIFO to ax, ay, az (g), then gx, gy, gz (dps).
 * @param bytes whole sets: Gx Gy Gz Ax Ay Az, or Ax Ay Az, low byte first
 * @param into array for the values, which are written from index `at` on
 * @returns number of values at a limit of their range
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

/** Whether a set contains a word from an unsettled filter. */
function unsettled(bytes: Uint8Array, from: number, words: number): boolean {
  for (let word = 0; word < words; word++)
    if (counts(bytes[from + 2 * word]!, bytes[from + 2 * word + 1]!) >= firstUnsettled) return true;
  return false;
}
