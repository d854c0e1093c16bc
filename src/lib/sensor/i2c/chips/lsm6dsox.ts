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
import {
  accelerometerCodes,
  counts,
  dpsPerCount,
  firstUnsettled,
  gramsPerCount,
  gyroscopeCodes,
  selfTest,
} from './lsm6ds3tr-c.js';

/** The registers of the LSM6DSOX's user bank that are used here (ST, lsm6dsox-pid). */
export const registers = {
  FIFO_CTRL1: { address: 0x07, bits: { WTM_7_0: [7, 0] } },
  FIFO_CTRL2: { address: 0x08, bits: { STOP_ON_WTM: 7, FIFO_COMPR_RT_EN: 6, ODRCHG_EN: 4, WTM_8: 0 } },
  FIFO_CTRL3: { address: 0x09, bits: { BDR_GY: [7, 4], BDR_XL: [3, 0] } },
  FIFO_CTRL4: { address: 0x0a, bits: { DEC_TS_BATCH: [7, 6], ODR_T_BATCH: [5, 4], FIFO_MODE: [2, 0] } },
  INT1_CTRL: { address: 0x0d, bits: { FIFO_FULL: 5, FIFO_OVR: 4, FIFO_TH: 3 } },
  WHO_AM_I: { address: 0x0f },
  CTRL1_XL: { address: 0x10, bits: { ODR_XL: [7, 4], FS_XL: [3, 2], LPF2_XL_EN: 1 } },
  CTRL2_G: { address: 0x11, bits: { ODR_G: [7, 4], FS_G: [3, 1] } },
  CTRL3_C: { address: 0x12, bits: { BOOT: 7, BDU: 6, IF_INC: 2, SW_RESET: 0 } },
  CTRL4_C: { address: 0x13, bits: { SLEEP_G: 6, DRDY_MASK: 3, I2C_disable: 2 } },
  CTRL5_C: { address: 0x14, bits: { ROUNDING: [6, 5], ST_G: [3, 2], ST_XL: [1, 0] } },
  CTRL9_XL: { address: 0x18, bits: { I3C_DISABLE: 1 } },
  STATUS_REG: { address: 0x1e, bits: { TDA: 2, GDA: 1, XLDA: 0 } },
  OUT_TEMP_L: { address: 0x20 },
  OUTX_L_G: { address: 0x22 },
  OUTX_L_A: { address: 0x28 },
  FIFO_STATUS1: { address: 0x3a, bits: { DIFF_FIFO_7_0: [7, 0] } },
  FIFO_STATUS2: {
    address: 0x3b,
    bits: { WTM_IA: 7, OVR_IA: 6, FULL_IA: 5, COUNTER_BDR_IA: 4, OVR_LATCHED: 3, DIFF_FIFO_9_8: [1, 0] },
  },
  INTERNAL_FREQ_FINE: { address: 0x63 },
  FIFO_DATA_OUT_TAG: { address: 0x78, bits: { TAG_SENSOR: [7, 3], TAG_CNT: [2, 1], TAG_PARITY: 0 } },
  FIFO_DATA_OUT_Z_H: { address: 0x7e },
} as const satisfies RegisterTable;

/** Register addresses by name. */
export const reg = Object.fromEntries(
  Object.entries(registers).map(([name, { address }]) => [name, address]),
) as { readonly [Name in keyof typeof registers]: number };

/** Nominal rates in Hz by the code of ODR_XL, ODR_G, BDR_XL and BDR_GY (ST, lsm6dsox-pid). */
export const ratesHz = [0, 12.5, 26, 52, 104, 208, 417, 833, 1667, 3333, 6667] as const;

const rates = ratesHz.slice(1).map(String);
const ranges = ['2', '4', '8', '16'];
const gyroscopes = ['off', '125', '250', '500', '1000', '2000'];
const defaultEverySeconds = 0.25;

const settings: readonly ChipSetting[] = [
  { name: 'rate', about: 'samples per second', default: '104', choices: rates },
  { name: 'range', about: 'range of the accelerometer, ± g', default: '4', choices: ranges },
  { name: 'gyro', about: 'range of the gyroscope, ± dps, or off', default: '2000', choices: gyroscopes },
  { name: 'watermark', about: 'samples per read', default: 'a quarter of a second' },
];

/** ST's six-axis sensor with a tagged FIFO. */
export const lsm6dsox: Chip = {
  name: 'lsm6dsox',
  title: 'LSM6DSOX, accelerometer and gyroscope',
  addresses: [0x6a, 0x6b],
  registers,
  identity: {
    register: registers.WHO_AM_I.address,
    value: 0x6c,
    relatives: { 105: 'LSM6DS3', 106: 'LSM6DS3TR-C' },
  },
  settings,
  plan,
};

interface Lsm6dsoxSettings {
  /** Rate code, which is in the upper four bits of the control registers. */
  rateCode: number;
  rangeG: number;
  /** Range of the gyroscope; null = off. */
  rangeDps: number | null;
  /** Number of samples at which the FIFO is read. */
  watermark: number;
}

/** @throws AIOT_SENSOR_URL */
function plan(url: SensorUrl): ChipPlan {
  const read = readSettings(url, {
    rate: choice(rates).default('104'),
    range: choice(ranges).default('4'),
    gyro: choice(gyroscopes).default('2000'),
    watermark: z.coerce.number('expected a number of samples').int().min(1).max(256).optional(),
  });
  const rateHz = Number(read.rate);
  const rangeG = Number(read.range);
  const rangeDps = read.gyro === 'off' ? null : Number(read.gyro);
  const layout: WordLayout = {
    gyroscope: rangeDps !== null,
    gramsPerCount: gramsPerCount(rangeG),
    dpsPerCount: dpsPerCount(rangeDps ?? 125),
  };
  const words = layout.gyroscope ? 2 : 1;
  const depth = Math.floor(fifoWords / words);
  const most = Math.floor(depth / 2);
  const watermark = Math.min(read.watermark ?? Math.max(1, Math.floor(rateHz * defaultEverySeconds)), most);
  const everyMs = (watermark * 1000) / rateHz;
  const wordsOfBlock = Math.floor(32 / wordBytes);
  const rateCode = rates.indexOf(read.rate) + 1;
  const axes = (names: string[], unit: string) => names.map((name) => ({ name, unit }));
  return {
    fields: [...axes(['ax', 'ay', 'az'], 'g'), ...(rangeDps === null ? [] : axes(['gx', 'gy', 'gz'], 'dps'))],
    rateHz,
    everyMs,
    depth,
    timing: 'chip',
    bitsPerSecond:
      ((rateHz * words) / wordsOfBlock) * bitsOfRead(wordsOfBlock * wordBytes) +
      (1000 / everyMs) * bitsOfRead(2),
    session: (chip, clock) =>
      new Lsm6dsoxSession(chip, clock, { rateCode, rangeG, rangeDps, watermark }, layout),
  };
}

/** Maximum settling time of the filters, ms. Samples taken in that time are discarded. */
const settleMs = 500;

const continuous = 0b110;

/** Minimum shift of the accelerometer in the self-test, g (ST, example of the LSM6DSOX). */
const selfTestLeastG = 0.05;

/** Reads the chip's FIFO of tagged words. A tag contains the kind of data and the time slot. */
class Lsm6dsoxSession implements ChipSession {
  readonly #assembler: SampleAssembler;
  readonly #width: number;
  readonly #wordsOfBlock: number;
  /** Whether a transaction was interrupted, so that the number of words that the chip returned is unknown. */
  #uncertain = false;
  #settlingUntilMs = 0;

  constructor(
    private readonly chip: RegisterAccess,
    private readonly clock: Clock,
    private readonly settings: Lsm6dsoxSettings,
    layout: WordLayout,
  ) {
    this.#assembler = new SampleAssembler(layout);
    this.#width = layout.gyroscope ? 6 : 3;
    this.#wordsOfBlock = Math.floor(chip.longest / wordBytes);
  }

  async reset(): Promise<void> {
    const { chip } = this;
    await chip.write(reg.CTRL2_G, 0x00);
    await chip.write(reg.CTRL1_XL, 0x60);
    await chip.write(reg.CTRL3_C, 0x01);
    for (let tries = 0; tries < 10; tries++) {
      await this.clock.sleep(1);
      if (((await chip.readByte(reg.CTRL3_C)) & 1) === 0) return;
    }
    throw new AiotError('AIOT_SENSOR_FAILED', 'the LSM6DSOX does not respond after its reset');
  }

  selfTest(): Promise<SelfTest> {
    return selfTest(this.chip, this.clock, selfTestLeastG);
  }

  async start(): Promise<void> {
    const { chip } = this;
    const { rateCode, rangeG, rangeDps, watermark } = this.settings;
    const words = (watermark * this.#width) / 3;
    // Disables the chip's I3C interface, so that it does not mistake I²C traffic for I3C. The other bits must stay unchanged.
    await chip.write(reg.CTRL9_XL, (await chip.readByte(reg.CTRL9_XL)) | 0x02);
    await chip.write(reg.CTRL3_C, 0x44);
    await chip.write(reg.CTRL4_C, 0x08);
    await chip.write(reg.FIFO_CTRL4, 0x00);
    await chip.write(reg.FIFO_CTRL1, words & 0xff, words >> 8);
    await chip.write(reg.FIFO_CTRL3, (rangeDps === null ? 0 : rateCode << 4) | rateCode);
    await chip.write(reg.CTRL1_XL, (rateCode << 4) | (accelerometerCodes[rangeG]! << 2));
    const gyroscope = rangeDps === 125 ? 0b10 : (gyroscopeCodes[rangeDps ?? 250] ?? 0) << 2;
    await chip.write(reg.CTRL2_G, rangeDps === null ? 0x00 : (rateCode << 4) | gyroscope);
    await this.startFifo(chip);
  }

  private async startFifo(chip: RegisterAccess): Promise<void> {
    await chip.write(reg.FIFO_CTRL4, 0x00);
    await chip.write(reg.FIFO_CTRL4, continuous);
    this.#assembler.restart();
    this.#settlingUntilMs = this.clock.now() + settleMs;
    this.#uncertain = false;
  }

  read(): Promise<Reading> {
    return this.chip.exclusive((chip) => this.drain(chip));
  }

  private async drain(chip: RegisterAccess): Promise<Reading> {
    let broken = this.#uncertain;
    this.#uncertain = true;
    const before = this.clock.now();
    const { words, overrun } = fifoStatus(await chip.read(reg.FIFO_STATUS1, 2));
    const askedMs = [before, this.clock.now()] as const;
    if (overrun) {
      broken = true;
      // The FIFO was cleared, so data is missing even if the next slot number fits.
      this.#assembler.restart();
    }
    const settling = before < this.#settlingUntilMs;
    const values = new Float64Array((words + 1) * this.#width);
    let [count, saturated, taken] = [0, 0, 0];
    try {
      while (taken < words) {
        const some = Math.min(this.#wordsOfBlock, words - taken);
        const block = await chip.read(reg.FIFO_DATA_OUT_TAG, some * wordBytes);
        taken += some;
        const done = this.#assembler.push(block, values, count * this.#width, settling);
        count += done.count;
        saturated += done.saturated;
        broken ||= done.broken;
      }
      this.#uncertain = false;
    } catch (error) {
      this.#assembler.restart();
      if (count === 0) throw error;
    }
    const left = Math.floor(((words - taken) * 3) / this.#width);
    return { values, count, left, askedMs, broken, overrun, saturated };
  }

  async stop(): Promise<void> {
    await this.chip.write(reg.FIFO_CTRL4, 0x00);
    await this.chip.write(reg.CTRL2_G, 0x00);
    await this.chip.write(reg.CTRL1_XL, 0x00);
  }
}

/** A word of the FIFO: its tag, and six bytes of data. */
export const wordBytes = 7;

/** Capacity of the FIFO in words. */
export const fifoWords = 512;

/** Kinds of words (TAG_SENSOR; ST, lsm6dsox-pid, FIFO_DATA_OUT_TAG): those that are read here, and all that exist. */
export const tags = { gyroscope: 1, accelerometer: 2 } as const;

const knownTags = new Set([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 25]);

/** Builds a tag as the chip does: kind, number of the time slot modulo 4, and an even-parity bit. */
export function tagByte(kind: number, slot: number): number {
  const tag = (kind << 3) | ((slot & 0b11) << 1);
  return tag | (ones(tag) & 1);
}

/** Parses a tag. Returns undefined if the parity is wrong or the kind is unknown, because the byte is then not the start of a word. */
export function parseTag(byte: number): { kind: number; slot: number } | undefined {
  const kind = byte >> 3;
  return ones(byte) % 2 === 0 && knownTags.has(kind) ? { kind, slot: (byte >> 1) & 0b11 } : undefined;
}

function ones(byte: number): number {
  let count = 0;
  for (let rest = byte; rest > 0; rest &= rest - 1) count++;
  return count;
}

/** Parses FIFO_STATUS1 and 2. */
export function fifoStatus(bytes: Uint8Array): { words: number; overrun: boolean } {
  const [low = 0, high = 0] = bytes;
  return { words: low | ((high & 0b11) << 8), overrun: (high & 0b0100_1000) !== 0 };
}

/** The words that form a sample, and the value of one count. */
interface WordLayout {
  gyroscope: boolean;
  gramsPerCount: number;
  dpsPerCount: number;
}

interface Assembled {
  /** Number of samples. */
  count: number;
  /** Whether samples are missing before or between these, or some bytes did not form valid words. */
  broken: boolean;
  saturated: number;
}

/**
 * Assembles words into samples. The words of one time slot have the same number (modulo 4), and the number increases by one per slot. A
 * sample is therefore either complete or dropped, and every loss is detected except for multiples of four slots.
 */
export class SampleAssembler {
  readonly #width: number;
  readonly #need: number;
  readonly #sample = new Float64Array(6);
  /** Kinds of words received for the slot, as bits. */
  #have = 0;
  #slot = -1;
  #unsettled = false;

  constructor(private readonly layout: WordLayout) {
    this.#width = layout.gyroscope ? 6 : 3;
    this.#need = layout.gyroscope ? 0b11 : 0b10;
  }

  /** Discards the partial sample and the expected slot, because the FIFO was cleared. */
  restart(): void {
    this.#have = 0;
    this.#slot = -1;
  }

  /**
   * @param bytes whole words
   * @param into array for ax, ay, az (g) and gx, gy, gz (dps) of each sample, which are written from index `at` on
   * @param settling whether to drop samples that the chip marks as unsettled (DRDY_MASK), and samples with a missing word
   */
  push(bytes: Uint8Array, into: Float64Array, at: number, settling: boolean): Assembled {
    const done: Assembled = { count: 0, broken: false, saturated: 0 };
    for (let from = 0; from + wordBytes <= bytes.length; from += wordBytes) {
      const tag = parseTag(bytes[from]!);
      if (!tag) {
        done.broken = true;
        this.#have = 0;
        continue;
      }
      if (tag.kind !== tags.gyroscope && tag.kind !== tags.accelerometer) continue;
      if (!this.enter(tag.slot, 1 << (tag.kind - 1)) && !settling) done.broken = true;
      done.saturated += this.keep(tag.kind, bytes, from + 1);
      if (this.#have !== this.#need) continue;
      if (settling && this.#unsettled) continue;
      into.set(
        this.#width === 6 ? this.#sample : this.#sample.subarray(0, 3),
        at + this.#width * done.count++,
      );
    }
    return done;
  }

  /** Adds a word of one kind to a time slot. Returns false if it cannot follow the previous word. */
  private enter(slot: number, bit: number): boolean {
    const first = this.#slot < 0;
    if (!first && slot === this.#slot && (this.#have & bit) === 0) {
      this.#have |= bit;
      return true;
    }
    const whole = this.#have === this.#need;
    const next = ((slot - this.#slot) & 0b11) === 1;
    this.#slot = slot;
    this.#have = bit;
    this.#unsettled = false;
    return first || (whole && next);
  }

  private keep(kind: number, bytes: Uint8Array, from: number): number {
    const { gramsPerCount, dpsPerCount } = this.layout;
    const accelerometer = kind === tags.accelerometer;
    const perCount = accelerometer ? gramsPerCount : dpsPerCount;
    let saturated = 0;
    for (let axis = 0; axis < 3; axis++) {
      const raw = counts(bytes[from + 2 * axis]!, bytes[from + 2 * axis + 1]!);
      if (raw >= firstUnsettled) this.#unsettled = true;
      if (raw >= firstUnsettled || raw <= -32767) saturated++;
      this.#sample[accelerometer ? axis : 3 + axis] = raw * perCount;
    }
    return saturated;
  }
}
