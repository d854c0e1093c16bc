import * as z from 'zod';
import type { Clock } from '../../core/time.js';
import type { SampleField } from '../types.js';
import type { SensorUrl } from '../url.js';
import type { RegisterAccess } from './bus.js';
import type { SimulatedChip, SimulationOptions } from './simulated-chip.js';

/** A register's address and its fields: `[highest bit, lowest bit]`, or one bit. */
interface RegisterEntry {
  readonly address: number;
  readonly bits?: Readonly<Record<string, number | readonly [high: number, low: number]>>;
}

/** The registers of a chip by their names in its data sheet. */
export type RegisterTable = Readonly<Record<string, RegisterEntry>>;

/** What a chip can be set to, by the names of a URL's query; for `describeChips`. */
export interface ChipSetting {
  name: string;
  about: string;
  /** As one would write it. */
  default: string;
  /** Where there is a list to choose from. */
  choices?: readonly string[];
}

/** A kind of chip: registers, identity, settings, and what `plan` makes of the settings. */
export interface Chip {
  /** In URLs: `lsm6ds3tr-c`. */
  readonly name: string;
  /** Such as `LSM6DS3TR-C, accelerometer and gyroscope`. */
  readonly title: string;
  /** 7 bits; the first is tried first. */
  readonly addresses: readonly [number, ...number[]];
  readonly registers: RegisterTable;
  readonly identity: ChipIdentity;
  readonly settings: readonly ChipSetting[];
  /** Reads the settings (`readSettings`); touches no bus. @throws AIOT_SENSOR_URL */
  plan(url: SensorUrl): ChipPlan;
}

/** A kind of chip with its simulator. */
export interface ChipDriver extends Chip {
  simulate(options: SimulationOptions): SimulatedChip;
}

interface ChipIdentity {
  register: number;
  value: number;
  /** What else is found at this address, by what its identity register says. */
  relatives: Readonly<Record<number, string>>;
}

/** What is to be done with a chip: pure, but for the session it can begin. */
export interface ChipPlan {
  readonly fields: readonly SampleField[];
  /** Nominal. */
  readonly rateHz: number;
  /** From one `read` to the next, ms. */
  readonly everyMs: number;
  /** Samples that the chip keeps for a reader that is late; 1 = it has no buffer. */
  readonly depth: number;
  /**
   * `chip`: samples come at the chip's own rate, which is measured. `host`: a sample is of the moment in which it was read.
   */
  readonly timing: 'chip' | 'host';
  /** Bits a second on the bus, with addresses and acknowledgements; section 8.3 of the I²C budget: 9·(3 + n) + 3 for a read of n bytes. */
  readonly bitsPerSecond: number;
  /** @param clock one that nobody sets: its `now` only rises */
  session(chip: RegisterAccess, clock: Clock): ChipSession;
}

/** A chip in use. Its identity was looked at before (`identify`). Every method may throw what the bus throws. */
export interface ChipSession {
  /** To its defaults; it may have been in any state. */
  reset(): Promise<void>;
  /** The chip is to lie still meanwhile, and is to be reset afterwards. Absent where it has none. */
  selfTest?(): Promise<SelfTest>;
  /** Sets rate and ranges and begins to sample. */
  start(): Promise<void>;
  /**
   * What has come since. An error in it leaves the session usable: the next call finds its way again, and says `broken`.
   */
  read(): Promise<Reading>;
  /** To its lowest power. */
  stop(): Promise<void>;
}

export interface Reading {
  /** Sample after sample in the plan's fields and units: `count × fields.length` (there may be more room behind them). */
  values: Float64Array;
  count: number;
  /** Samples that were there when the chip was asked, and are not among these: they come with the next. Absent = 0. */
  left?: number;
  /** When the chip was asked how many there are (`host`: for the sample): between these two, by the session's clock. */
  askedMs: readonly [before: number, after: number];
  /**
   * Before the first of these some are missing, and how many is to be told from the time: a buffer ran over, or was cleared, or a
   * transaction failed half-way.
   */
  broken: boolean;
  /** The chip's buffer ran over. */
  overrun: boolean;
  /** Values at the end of their range. */
  saturated: number;
}

export interface SelfTest {
  passed: boolean;
  /** Each axis: by how much its output moved, and what is allowed. */
  axes: readonly { name: string; unit: string; change: number; least: number; most: number }[];
}

/** A setting with a list to choose from: any other is refused with the list, and the nearest number of it. */
export function choice(choices: readonly string[]) {
  return z.string().refine((value) => choices.includes(value), {
    error: ({ input }) => {
      const wanted = Number(input);
      const numbers = choices.map(Number).filter((each) => Number.isFinite(each));
      const near = numbers.toSorted((a, b) => Math.abs(a - wanted) - Math.abs(b - wanted))[0];
      const nearest = Number.isFinite(wanted) && near !== undefined ? `; the nearest is ${near}` : '';
      return `expected one of ${choices.join(', ')}; got ${input}${nearest}`;
    },
  });
}
