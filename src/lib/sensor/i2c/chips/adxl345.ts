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

/** The registers of the ADXL345 that are used here (Analog Devices, data sheet). */
export const registers = {
  DEVID: { address: 0x00 },
  OFSX: { address: 0x1e },
  OFSY: { address: 0x1f },
  OFSZ: { address: 0x20 },
  BW_RATE: { address: 0x2c, bits: { LOW_POWER: 4, Rate: [3, 0] } },
  POWER_CTL: { address: 0x2d, bits: { Link: 5, AUTO_SLEEP: 4, Measure: 3, Sleep: 2, Wakeup: [1, 0] } },
  INT_ENABLE: { address: 0x2e },
  INT_MAP: { address: 0x2f },
  INT_SOURCE: { address: 0x30, bits: { DATA_READY: 7, Watermark: 1, Overrun: 0 } },
  DATA_FORMAT: {
    address: 0x31,
    bits: { SELF_TEST: 7, SPI: 6, INT_INVERT: 5, FULL_RES: 3, Justify: 2, Range: [1, 0] },
  },
  DATAX0: { address: 0x32 },
  FIFO_CTL: { address: 0x38, bits: { FIFO_MODE: [7, 6], Trigger: 5, Samples: [4, 0] } },
  FIFO_STATUS: { address: 0x39, bits: { FIFO_TRIG: 7, Entries: [5, 0] } },
} as const satisfies RegisterTable;

/** Register addresses by name. */
export const reg = Object.fromEntries(
  Object.entries(registers).map(([name, { address }]) => [name, address]),
) as { readonly [Name in keyof typeof registers]: number };

/** Rates up to 800 Hz, the maximum on a 400 kHz bus (data sheet). */
const rates = ['6.25', '12.5', '25', '50', '100', '200', '400', '800'];

const ranges = ['2', '4', '8', '16'];

/** Capacity of the FIFO in entries. */
const depth = 32;

const settings: readonly ChipSetting[] = [
  { name: 'rate', about: 'samples per second', default: '100', choices: rates },
  { name: 'range', about: '± g', default: '16', choices: ranges },
  {
    name: 'watermark',
    about: 'samples per read, at most 16',
    default: 'a quarter of a second, at most 12',
  },
];

/** Analog Devices' accelerometer, which is read through its FIFO. */
export const adxl345: Chip = {
  name: 'adxl345',
  title: 'ADXL345, accelerometer',
  addresses: [0x53, 0x1d],
  registers,
  identity: { register: registers.DEVID.address, value: 0xe5, relatives: {} },
  settings,
  plan,
};

interface Adxl345Settings {
  rateHz: number;
  rangeG: number;
  /** Number of samples at which the FIFO is read. */
  watermark: number;
}

/** @throws AIOT_SENSOR_URL */
function plan(url: SensorUrl): ChipPlan {
  const read = readSettings(url, {
    rate: choice(rates).default('100'),
    range: choice(ranges).default('16'),
    watermark: z.coerce.number('expected a number of samples').int().min(1).max(16).optional(),
  });
  const rateHz = Number(read.rate);
  const watermark = read.watermark ?? Math.max(1, Math.min(12, Math.floor(rateHz / 4)));
  const everyMs = (watermark * 1000) / rateHz;
  const chosen: Adxl345Settings = { rateHz, rangeG: Number(read.range), watermark };
  return {
    fields: ['ax', 'ay', 'az'].map((name) => ({ name, unit: 'g' })),
    rateHz,
    everyMs,
    depth,
    timing: 'chip',
    bitsPerSecond: rateHz * bitsOfRead(6) + (1000 / everyMs) * 2 * bitsOfRead(1),
    session: (chip, clock) => new Adxl345Session(chip, clock, chosen),
  };
}

const [fullResolution, measure, streamMode] = [0x08, 0x08, 0x80];
const overrunFlag = 0x01;

/** Reads the chip's FIFO of 32 entries. Each burst of six bytes removes exactly one entry. */
class Adxl345Session implements ChipSession {
  /** Whether a transaction was interrupted, which may have removed an entry that was not received. */
  #uncertain = false;

  constructor(
    private readonly chip: RegisterAccess,
    private readonly clock: Clock,
    private readonly settings: Adxl345Settings,
  ) {}

  /** Writes every relevant register, because the chip has no reset. */
  async reset(): Promise<void> {
    const { chip } = this;
    await chip.write(reg.POWER_CTL, 0x00);
    await chip.write(reg.OFSX, 0, 0, 0);
    await chip.write(reg.BW_RATE, 0x0a);
    await chip.write(reg.INT_ENABLE, 0x00, 0x00);
    await chip.write(reg.DATA_FORMAT, 0x00);
    await chip.write(reg.FIFO_CTL, 0x00);
  }

  selfTest(): Promise<SelfTest> {
    return selfTest(this.chip, this.clock);
  }

  async start(): Promise<void> {
    const { chip } = this;
    const { rateHz, rangeG, watermark } = this.settings;
    await chip.write(reg.POWER_CTL, 0x00);
    await chip.write(reg.BW_RATE, rateCode(rateHz));
    await chip.write(reg.DATA_FORMAT, fullResolution | rangeCodes[rangeG]!);
    // Bypass mode clears the FIFO.
    await chip.write(reg.FIFO_CTL, 0x00);
    await chip.write(reg.FIFO_CTL, streamMode | watermark);
    await chip.write(reg.POWER_CTL, measure);
    this.#uncertain = false;
  }

  read(): Promise<Reading> {
    return this.chip.exclusive((chip) => this.drain(chip));
  }

  private async drain(chip: RegisterAccess): Promise<Reading> {
    const { clock, settings } = this;
    let broken = this.#uncertain;
    this.#uncertain = true;
    // The flag is read first, because reading data clears it.
    const overrun = ((await chip.readByte(reg.INT_SOURCE)) & overrunFlag) !== 0;
    if (overrun) broken = true;
    const before = clock.now();
    const entries = (await chip.readByte(reg.FIFO_STATUS)) & 0x3f;
    const askedMs = [before, clock.now()] as const;
    const values = new Float64Array(3 * entries);
    let [count, saturated] = [0, 0];
    try {
      for (; count < entries; count++) {
        const bytes = await chip.read(reg.DATAX0, 6);
        saturated += decodeEntry(bytes, settings.rangeG, values, 3 * count);
      }
      this.#uncertain = false;
    } catch (error) {
      // Entries read before the failure are complete, so they are returned.
      if (count === 0) throw error;
    }
    return { values, count, left: entries - count, askedMs, broken, overrun, saturated };
  }

  async stop(): Promise<void> {
    await this.chip.write(reg.POWER_CTL, 0x00);
  }
}

/**
 * Expected self-test shifts in counts, at 2.5 V (data sheet, table of the self-test). For the 3.3 V of a Pi, they are multiplied by 1.77 in
 * x and y, and by 1.47 in z.
 */
const limits = [
  { name: 'ax', least: 50 * 1.77, most: 540 * 1.77 },
  { name: 'ay', least: -540 * 1.77, most: -50 * 1.77 },
  { name: 'az', least: 75 * 1.47, most: 875 * 1.47 },
] as const;

/** Number of samples averaged in the self-test, a tenth of a second at 100 Hz. */
const averaged = 10;

/** Number of samples to skip until the output has settled. */
const settling = 4;

const patienceMs = 100;
const dataReady = 0x80;

/** Deflects the proof mass with the chip's own actuator and checks how far the outputs move. The chip must lie still. */
async function selfTest(chip: RegisterAccess, clock: Clock): Promise<SelfTest> {
  await chip.write(reg.POWER_CTL, 0x00);
  await chip.write(reg.FIFO_CTL, 0x00);
  await chip.write(reg.BW_RATE, 0x0a);
  await chip.write(reg.DATA_FORMAT, 0x0b);
  await chip.write(reg.POWER_CTL, 0x08);
  const before = await average(chip, clock);
  await chip.write(reg.DATA_FORMAT, 0x8b);
  const pushed = await average(chip, clock);
  await chip.write(reg.DATA_FORMAT, 0x0b);
  await chip.write(reg.POWER_CTL, 0x00);
  const axes = limits.map(({ name, least, most }, axis) => ({
    name,
    unit: 'g',
    change: (pushed[axis]! - before[axis]!) * gramsPerCount,
    least: least * gramsPerCount,
    most: most * gramsPerCount,
  }));
  return { passed: axes.every(({ change, least, most }) => change >= least && change <= most), axes };
}

async function average(chip: RegisterAccess, clock: Clock): Promise<number[]> {
  const sums = [0, 0, 0];
  for (let n = 0; n < settling; n++) await sample(chip, clock);
  for (let n = 0; n < averaged; n++) {
    const bytes = await sample(chip, clock);
    for (let axis = 0; axis < 3; axis++)
      sums[axis]! += counts(bytes[2 * axis]!, bytes[2 * axis + 1]!) / averaged;
  }
  return sums;
}

async function sample(chip: RegisterAccess, clock: Clock): Promise<Uint8Array> {
  for (let waitedMs = 0; waitedMs < patienceMs; waitedMs += 2) {
    if (((await chip.readByte(reg.INT_SOURCE)) & dataReady) !== 0) return chip.read(reg.DATAX0, 6);
    await clock.sleep(2);
  }
  throw new AiotError('AIOT_SENSOR_FAILED', 'the ADXL345 sends no samples in its self-test');
}

/** BW_RATE code for a rate. Code 15 is 3200 Hz, and each lower code halves the rate. */
export function rateCode(rateHz: number): number {
  return 15 - Math.round(Math.log2(3200 / rateHz));
}

/** Nominal rate of a BW_RATE code, Hz. */
export function rateOf(code: number): number {
  return 3200 / 2 ** (15 - (code & 0x0f));
}

/** Range codes in DATA_FORMAT, by ±g. */
export const rangeCodes: Readonly<Record<number, number>> = { 2: 0, 4: 1, 8: 2, 16: 3 };

/** g per count. With FULL_RES, there are 256 counts per g in every range. */
export const gramsPerCount = 1 / 256;

/** Converts two bytes, low byte first, to counts. */
export function counts(low: number, high: number): number {
  return ((high << 24) >> 16) | low;
}

/**
 * Converts the six bytes of one entry to ax, ay, az in g.
 * @param rangeG range whose limits are checked, g
 * @returns number of values at a limit of their range
 */
export function decodeEntry(bytes: Uint8Array, rangeG: number, into: Float64Array, at: number): number {
  const most = rangeG * 256 - 1;
  let saturated = 0;
  for (let axis = 0; axis < 3; axis++) {
    const raw = counts(bytes[2 * axis]!, bytes[2 * axis + 1]!);
    if (raw >= most || raw <= -most - 1) saturated++;
    into[at + axis] = raw * gramsPerCount;
  }
  return saturated;
}
