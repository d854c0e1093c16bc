import { AiotError } from '../../core/errors.js';
import { hex } from '../../core/figures.js';
import type { Clock } from '../../core/time.js';
import type { SourceFaults } from '../types.js';

/** Transactions on an I²C bus. */
export interface I2cTransactions {
  /**
   * Reads `length` bytes starting at a register, in one transaction (repeated START). Returns fewer only if the bus itself returned fewer.
   * @param address 7-bit address
   * @throws AIOT_I2C_NACK, AIOT_I2C_STUCK, AIOT_I2C_FAILED, AIOT_I2C_DENIED, AIOT_I2C_BUSY, AIOT_I2C_MISSING
   */
  read(address: number, register: number, length: number): Promise<Uint8Array>;
  /** Writes bytes starting at a register, in one transaction. @throws as `read` */
  write(address: number, register: number, bytes: Uint8Array): Promise<void>;
}

/** An I²C bus, as drivers use it: either Linux's i2c-dev through the package i2c-bus, or simulated chips at register level. */
export interface I2cBus extends I2cTransactions {
  /** Name of the bus, such as `/dev/i2c-1`. */
  readonly name: string;
  /** Maximum number of bytes per read or write. */
  readonly longest: number;
  /** Clock frequency of the bus in Hz, if the system reports it. */
  readonly speedHz: number | null;
  /**
   * Runs `work` without any other transaction of this process in between. `work` must use the access that it receives, not the bus itself.
   */
  exclusive<T>(work: (bus: I2cTransactions) => Promise<T>): Promise<T>;
  /** Returns the addresses that respond. */
  scan(): Promise<number[]>;
  close(): Promise<void>;
}

/** Access to one chip's registers. A transaction that was not acknowledged is retried, because the chip has not received any of it. */
export interface RegisterAccess {
  /** The chip's 7-bit address. */
  readonly address: number;
  /** Maximum number of bytes per read. */
  readonly longest: number;
  /** @throws AIOT_I2C_… and, if fewer bytes arrived than requested, AIOT_I2C_FAILED */
  read(register: number, length: number): Promise<Uint8Array>;
  readByte(register: number): Promise<number>;
  write(register: number, ...bytes: number[]): Promise<void>;
  /** Runs several transactions without any other transaction of this process in between. */
  exclusive<T>(work: (chip: RegisterAccess) => Promise<T>): Promise<T>;
}

/** Maximum number of attempts per transaction, and the pause between them, ms. */
const mostTries = 4;

const pauseMs = 1;

/** Access to the registers of the chip at an address. Counts retried transactions in `faults.retries`. */
export function registersOf(
  bus: I2cBus,
  address: number,
  clock: Clock,
  faults: SourceFaults,
): RegisterAccess {
  const on = (transactions: I2cTransactions): RegisterAccess => {
    const retried = async <T>(work: () => Promise<T>): Promise<T> => {
      for (let tries = 1; ; tries++) {
        try {
          return await work();
        } catch (error) {
          if (!(error instanceof AiotError) || error.code !== 'AIOT_I2C_NACK' || tries >= mostTries)
            throw error;
          faults.retries++;
          await clock.sleep(pauseMs);
        }
      }
    };
    const read = (register: number, length: number) =>
      retried(async () => {
        const bytes = await transactions.read(address, register, length);
        if (bytes.length === length) return bytes;
        throw new AiotError(
          'AIOT_I2C_FAILED',
          `${bus.name}: expected ${length} bytes from register ${hex(register, 2)} of the chip at ${hex(address, 2)}, got ${bytes.length}`,
          { endpoint: bus.name, retryable: true },
        );
      });
    return {
      address,
      longest: bus.longest,
      read,
      readByte: async (register) => (await read(register, 1))[0]!,
      write: (register, ...bytes) =>
        retried(() => transactions.write(address, register, Uint8Array.from(bytes))),
      exclusive: (work) =>
        transactions === bus ? bus.exclusive((inner) => work(on(inner))) : work(on(transactions)),
    };
  };
  return on(bus);
}

/** Bits on the wire for a combined register read of `length` bytes. START, repeated START and STOP count as one bit each. */
export function bitsOfRead(length: number): number {
  return 9 * (3 + length) + 3;
}

/** Runs tasks one after another, in the order of the calls. A failed task does not affect the others. */
export function createMutex(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const result = last.then(work, work);
    last = result.catch(() => {});
    return result;
  };
}
