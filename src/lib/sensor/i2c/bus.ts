import { AiotError } from '../../core/errors.js';
import type { Clock } from '../../core/time.js';
import type { SourceFaults } from '../types.js';

/** Transactions of an I²C bus. */
export interface I2cTransactions {
  /**
   * Reads `length` bytes from a register on, in one transaction (repeated START). Fewer come back only where the bus itself gave
   * fewer.
   * @param address of 7 bits
   * @throws AIOT_I2C_NACK, AIOT_I2C_STUCK, AIOT_I2C_FAILED, AIOT_I2C_DENIED, AIOT_I2C_BUSY, AIOT_I2C_MISSING
   */
  read(address: number, register: number, length: number): Promise<Uint8Array>;
  /** Writes bytes from a register on, in one transaction. @throws as `read` */
  write(address: number, register: number, bytes: Uint8Array): Promise<void>;
}

/**
 * An I²C bus as the drivers see it. Real: Linux's i2c-dev through the package i2c-bus. Simulated: chips at the level of their
 * registers.
 */
export interface I2cBus extends I2cTransactions {
  /** Such as `/dev/i2c-1`. */
  readonly name: string;
  /** Most bytes of one read or write. */
  readonly longest: number;
  /** Clock of the bus, where the system tells. */
  readonly speedHz: number | null;
  /** Runs `work` with no other transaction of this process in between: it uses what it is given, never the bus itself. */
  exclusive<T>(work: (bus: I2cTransactions) => Promise<T>): Promise<T>;
  /** Addresses that answer. */
  scan(): Promise<number[]>;
  close(): Promise<void>;
}

/** One chip's registers. A transaction that nobody acknowledged is tried again: the chip has seen nothing of it. */
export interface RegisterAccess {
  /** 7 bits. */
  readonly address: number;
  /** Most bytes of one read. */
  readonly longest: number;
  /** @throws AIOT_I2C_… and, where fewer bytes came than were asked for, AIOT_I2C_FAILED */
  read(register: number, length: number): Promise<Uint8Array>;
  readByte(register: number): Promise<number>;
  write(register: number, ...bytes: number[]): Promise<void>;
  /** Several transactions with none of this process in between. */
  exclusive<T>(work: (chip: RegisterAccess) => Promise<T>): Promise<T>;
}

/** Times that a transaction is tried in all, and the pause in between. */
const mostTries = 4;

const pauseMs = 1;

/** The registers of the chip at an address. Counts what it had to do again in `faults.retries`. */
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
          `${bus.name}: expected ${length} bytes from register ${hex(register)} of the chip at ${hex(address)}, got ${bytes.length}`,
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

/** `0x6a`. */
export function hex(value: number): string {
  return `0x${value.toString(16).padStart(2, '0')}`;
}

/** Bits on the wire of one combined register read of `length` bytes: START, repeated START and STOP are a bit each. */
export function bitsOfRead(length: number): number {
  return 9 * (3 + length) + 3;
}

/** Runs pieces of work one after the other, in the order in which they were given; a failed one holds up none. */
export function createMutex(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const result = last.then(work, work);
    last = result.catch(() => {});
    return result;
  };
}
