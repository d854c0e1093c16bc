import type { ErrorCode } from '../../core/catalogue.js';
import { AiotError } from '../../core/errors.js';
import { hex } from '../../core/figures.js';
import { seededRandom } from '../../core/numbers.js';
import type { Clock } from '../../core/time.js';
import { steady } from '../host-clock.js';
import { createMutex, type I2cBus, type I2cTransactions } from './bus.js';
import { chipDrivers } from './chips/chips.js';
import { type Signal, type SimulatedChip, SimulatedNack, swaying } from './simulated-chip.js';

export interface SimulatedBusSettings {
  /** Names of the chips, optionally with addresses. */
  chips: readonly (string | { name: string; address?: number })[];
  clock: Clock;
  /** Simulated environment; default: an object that hangs on a thread and sways. */
  signal?: Signal;
  /** The chips' true rate divided by their nominal one; default 1. */
  odrError?: number;
  seed?: number;
  /** Whether to add the noise given in the data sheets; default true. */
  noise?: boolean;
  /** Maximum number of bytes per read; default 32, as on Linux. */
  longest?: number;
  /** Bus clock in Hz, which determines how long transactions take; default: they take no time. */
  speedHz?: number;
}

/** Creates a bus with simulated chips, whose state follows the time of `clock`. @throws RangeError for an unknown chip */
export function simulatedBus(settings: SimulatedBusSettings): SimulatedBus {
  const { signal = swaying, odrError = 1, noise = true, seed = 1 } = settings;
  // The chips use monotonic time, so setting the machine's clock does not affect them.
  const clock = steady(settings.clock);
  const beganMs = clock.now();
  const chips = settings.chips.map((chip, index) => {
    const { name, address } = typeof chip === 'string' ? { name: chip, address: undefined } : chip;
    const driver = chipDrivers.find((each) => each.name === name);
    if (!driver) throw new RangeError(`unknown chip ${name}`);
    const random = seededRandom(seed + index);
    const options = { signal, beganMs, odrError, random, noise };
    return driver.simulate(address === undefined ? options : { ...options, address });
  });
  const { longest, speedHz } = settings;
  return busOf({ chips, clock, ...(longest ? { longest } : {}), ...(speedHz ? { speedHz } : {}) });
}

interface SimulatedBusOptions {
  chips: readonly SimulatedChip[];
  /** Monotonic clock of the chips. */
  clock: Clock;
  /** Maximum number of bytes per read; default 32, as on Linux. */
  longest?: number;
  /** Bus clock in Hz, which determines how long transactions take; default: they take no time. */
  speedHz?: number;
}

/** A bus without hardware, with fault injection. */
export interface SimulatedBus extends I2cBus {
  readonly chips: readonly SimulatedChip[];
  /** @throws if there is no chip of this name */
  chip(name: string): SimulatedChip;
  /** Fault: SDA stays low during the next transactions, after `after` successful ones. */
  stickNext(times: number, after?: number): void;
  /** Fault: the chip handles the next transaction, after `after` successful ones, but its response is lost. */
  loseNext(after?: number): void;
  /** Fault: the bus itself disappears until `restore` is called, as if its adapter was unplugged. */
  remove(): void;
  restore(): void;
  /** Number of transactions so far. */
  readonly transactions: number;
}

/** Puts simulated chips on a bus. */
function busOf(options: SimulatedBusOptions): SimulatedBus {
  const { chips, clock, speedHz } = options;
  const byAddress = new Map(chips.map((chip) => [chip.address, chip]));
  const name = 'the simulated bus';
  const longest = options.longest ?? 32;
  let stuck = 0;
  let well = 0;
  let lose = -1;
  let gone = false;
  let transactions = 0;

  const failed = (code: ErrorCode, what: string) =>
    new AiotError(code, `${name}: ${what}`, { endpoint: name, retryable: true });
  const run = <T>(address: number, work: (chip: SimulatedChip) => T): T => {
    transactions++;
    if (gone) throw failed('AIOT_I2C_MISSING', 'the bus was disconnected');
    if (well > 0) well--;
    else if (stuck > 0) {
      stuck--;
      throw failed('AIOT_I2C_STUCK', 'SDA stays low');
    }
    const chip = byAddress.get(address);
    try {
      if (!chip) throw new SimulatedNack();
      const result = work(chip);
      if (lose-- === 0)
        throw failed('AIOT_I2C_FAILED', `the transaction with ${hex(address, 2)} was interrupted`);
      return result;
    } catch (error) {
      if (error instanceof SimulatedNack)
        throw failed('AIOT_I2C_NACK', `no chip responds at ${hex(address, 2)}`);
      throw error;
    }
  };
  const pace = async (bytes: number) => {
    if (speedHz) await clock.sleep((bytes * 9000) / speedHz);
  };
  const direct: I2cTransactions = {
    async read(address, register, length) {
      if (length > longest) throw new RangeError(`${length} bytes are more than the limit of ${longest}`);
      if (speedHz) await pace(3 + length);
      return run(address, (chip) => chip.read(register, length, clock.now()));
    },
    async write(address, register, bytes) {
      if (speedHz) await pace(2 + bytes.length);
      run(address, (chip) => chip.write(register, bytes, clock.now()));
    },
  };
  const mutex = createMutex();
  return {
    name,
    longest,
    speedHz: speedHz ?? Number.POSITIVE_INFINITY,
    chips,
    chip(wanted) {
      const found = chips.find((chip) => chip.name === wanted);
      if (!found) throw new RangeError(`${wanted} does not exist on the simulated bus`);
      return found;
    },
    read: (...args) => mutex(() => direct.read(...args)),
    write: (...args) => mutex(() => direct.write(...args)),
    exclusive: (work) => mutex(() => work(direct)),
    async scan() {
      return chips.map(({ address }) => address).sort((a, b) => a - b);
    },
    stickNext(times, after = 0) {
      stuck = times;
      well = after;
    },
    loseNext(after = 0) {
      lose = after;
    },
    remove() {
      gone = true;
    },
    restore() {
      gone = false;
    },
    get transactions() {
      return transactions;
    },
    async close() {},
  };
}
