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

/** The registers of a chip by their names in its datasheet. */
export type RegisterTable = Readonly<Record<string, RegisterEntry>>;

/** A setting of a chip by its name in a URL's query; for `describeChips`. */
export interface ChipSetting {
  name: string;
  about: string;
  /** Default value, as a user would write it. */
  default: string;
  /** Allowed values; absent if any value may be allowed. */
  choices?: readonly string[];
}

/** A kind of chip: registers, identity, settings, and the plan that follows from the settings. */
export interface Chip {
  /** Name in URLs: `lsm6ds3tr-c`. */
  readonly name: string;
  /** Title, such as `LSM6DS3TR-C, accelerometer and gyroscope`. */
  readonly title: string;
  /** Possible addresses of 7 bits, in the order in which they are tried. */
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
  /** Other chips found at this address, by the value of the identity register. */
  relatives: Readonly<Record<number, string>>;
}

/** The configuration to use with a chip: pure data, except for the session it can start. */
export interface ChipPlan {
  readonly fields: readonly SampleField[];
  /** Nominal sample rate, Hz. */
  readonly rateHz: number;
  /** Time from one `read` to the next, ms. */
  readonly everyMs: number;
  /** Samples that the chip buffers for a late reader; 1 = it has no buffer. */
  readonly depth: number;
  /** `chip`: samples are taken at the chip's own rate, which is measured. `host`: a sample is taken at the moment it is read. */
  readonly timing: 'chip' | 'host';
  /** Bits per second on the bus, with addresses and acknowledgments. A register read of n bytes takes 9·(3 + n) + 3 bits. */
  readonly bitsPerSecond: number;
  /** @param clock a monotonic one: its `now` never decreases */
  session(chip: RegisterAccess, clock: Clock): ChipSession;
}

/** A chip in use. Its identity was checked before (`identify`). Every method may throw the bus's errors. */
export interface ChipSession {
  /** Resets the chip to its defaults from any state. */
  reset(): Promise<void>;
  /** The chip has to lie still during the test, and has to be reset afterwards. Absent if it has no self-test. */
  selfTest?(): Promise<SelfTest>;
  /** Sets rate and ranges and starts sampling. */
  start(): Promise<void>;
  /** Reads the samples taken since the last call. After an error the session stays usable: the next call recovers, and sets `broken`. */
  read(): Promise<Reading>;
  /** Puts the chip into its lowest power mode. */
  stop(): Promise<void>;
}

export interface Reading {
  /** Consecutive samples in the plan's fields and units: `count × fields.length` (the array may be longer). */
  values: Float64Array;
  count: number;
  /** Samples that were ready when the chip was queried but are returned by the next read. Absent = 0. */
  left?: number;
  /** Times just before and just after the query for the sample count (`host`: for the sample), by the session's clock. */
  askedMs: readonly [before: number, after: number];
  /**
   * An unknown number of samples is missing before the first of these, to be derived from the time: a buffer overran or was
   * cleared, or a transaction failed half-way.
   */
  broken: boolean;
  /** Whether the chip's buffer overran. */
  overrun: boolean;
  /** Number of values at the limit of their range. */
  saturated: number;
}

export interface SelfTest {
  passed: boolean;
  /** Each axis with the change of its output, and the allowed limits. */
  axes: readonly { name: string; unit: string; change: number; least: number; most: number }[];
}

/** A setting with a list of choices. Any other value is rejected; the error gives the list and the nearest number in it. */
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
