import { AiotError } from '../../../core/index.js';

/** What is used of i2c-bus 5.2: its promises. Buffers are given in, `bytesRead` may be less than asked for. */
export interface I2cBusModule {
  openPromisified(busNumber: number): Promise<PromisifiedBus>;
}

export interface PromisifiedBus {
  /** At most 32 bytes; one transaction with a repeated START. */
  readI2cBlock(
    address: number,
    command: number,
    length: number,
    buffer: Buffer,
  ): Promise<{ bytesRead: number; buffer: Buffer }>;
  writeI2cBlock(
    address: number,
    command: number,
    length: number,
    buffer: Buffer,
  ): Promise<{ bytesWritten: number; buffer: Buffer }>;
  /** Reads a byte from every address from one to another; those that answer. */
  scan(first: number, last: number): Promise<number[]>;
  close(): Promise<void>;
}

/** The package, which is a peer that need not be there. @throws AIOT_I2C_PACKAGE */
export async function loadI2cBus(): Promise<I2cBusModule> {
  // A name that is no literal: it is not there where this is compiled.
  const name: string = 'i2c-bus';
  try {
    const loaded = (await import(name)) as { default?: I2cBusModule } & I2cBusModule;
    return loaded.default ?? loaded;
  } catch (cause) {
    throw new AiotError('AIOT_I2C_PACKAGE', 'the package i2c-bus is not installed here, or does not load', {
      cause,
    });
  }
}
