import { AiotError, type Clock } from '../../core/index.js';
import type { SourceFaults } from '../types.js';
import type { I2cBus, I2cTransactions } from './bus.js';

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
