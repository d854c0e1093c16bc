import * as z from 'zod';
import type { Clock } from '../../core/time.js';
import type { SampleField } from '../types.js';
import type { SensorUrl } from '../url.js';
import type { RegisterAccess } from './bus.js';
import type { SimulatedChip, SimulationOptions } from './simulated-chip.js';

/** A register's address and its fields, each given as `[highest bit, lowest bit]` or as a single bit. */
interface RegisterEntry {
  readonly address: number;
  readonly bits?: Readonly<Record<string, number | readonly [high: number, low: number]>>;
}

/** The registers of a chip, by their names in its data sheet. */
export type RegisterTable = Readonly<Record<string, RegisterEntry>>;

/** A setting of a chip, named as in a URL's query; for `describeChips`. */
export interface ChipSetting {
  name: string;
  about: string;
  /** Default value, as a user would write it. */
  default: string;
  /** Allowed values; absent if the values cannot be listed. */
  choices?: readonly string[];
}

/** A kind of chip: registers, identity, settings, and the plan derived from the settings. */
export interface Chip {
  /** Name in URLs: `lsm6ds3tr-c`. */
  readonly name: string;
  /** Title, such as `LSM6DS3TR-C, accelerometer and gyroscope`. */
  readonly title: string;
  /** Possible 7-bit addresses, in the order in which they are tried. */
  readonly addresses: readonly [number, ...number[]];
  readonly registers: RegisterTable;
  readonly identity: ChipIdentity;
  readonly settings: readonly ChipSetting[];
  /** Parses the settings (`readSettings`) without accessing a bus. @throws AIOT_SENSOR_URL */
  plan(url: SensorUrl): ChipPlan;
}

/** A kind of chip with its simulator. */
export interface ChipDriver extends Chip {
  simulate(options: SimulationOptions): SimulatedChip;
}

interface ChipIdentity {
  register: number;
  value: number;
  /** Other chips that may be at this address, by the value of the identity register. */
  relatives: Readonly<Record<number, string>>;
}

/** A chip's configuration. It is pure data, apart from `session`, which starts using the chip. */
export interface ChipPlan {
  readonly fields: readonly SampleField[];
  /** Nominal sample rate, Hz. */
  readonly rateHz: number;
  /** Time from one `read` to the next, ms. */
  readonly everyMs: number;
  /** Number of samples that the chip can buffer; 1 = it has no buffer. */
  readonly depth: number;
  /** `chip`: samples are taken at the chip's own rate, which is measured. `host`: a sample is taken at the moment it is read. */
  readonly timing: 'chip' | 'host';
  /** Bits per second on the bus, including addresses and acknowledgments. A register read of n bytes takes 9·(3 + n) + 3 bits. */
  readonly bitsPerSecond: number;
  /** @param clock a monotonic clock, whose `now` never decreases */
  session(chip: RegisterAccess, clock: Clock): ChipSession;
}

/** A chip in use, whose identity was checked before (`identify`). Every method may throw the bus's errors. */
export interface ChipSession {
  /** Resets the chip to its defaults from any state. */
  reset(): Promise<void>;
  /** Tests the chip, which must lie still, and must be reset afterwards. Absent if the chip has no self-test. */
  selfTest?(): Promise<SelfTest>;
  /** Sets rate and ranges and starts sampling. */
  start(): Promise<void>;
  /** Reads the samples taken since the last call. After an error the session stays usable: the next call continues, and sets `broken`. */
  read(): Promise<Reading>;
  /** Puts the chip into its lowest power mode. */
  stop(): Promise<void>;
}

export interface Reading {
  /** Consecutive samples in the plan's fields and units: `count × fields.length` (the array may be longer). */
  values: Float64Array;
  count: number;
  /** Number of samples that were ready at the query, but will be returned by the next read. Absent = 0. */
  left?: number;
  /**
   * Times by the session's clock just before and just after the query for the number of samples (with `host` timing, for the sample
   * itself).
   */
  askedMs: readonly [before: number, after: number];
  /**
   * Whether an unknown number of samples is missing before these, because a buffer overran or was cleared, or a transaction failed. The
   * number can be derived from the times.
   */
  broken: boolean;
  /** Whether the chip's buffer overran. */
  overrun: boolean;
  /** Number of values at a limit of their range. */
  saturated: number;
}

export interface SelfTest {
  passed: boolean;
  /** For each axis, the change of its output and the allowed limits. */
  axes: readonly { name: string; unit: string; change: number; least: number; most: number }[];
}

/** A setting with a list of choices. The error for any other value contains the list and the nearest number in it. */
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
