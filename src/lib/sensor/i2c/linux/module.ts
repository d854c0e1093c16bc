import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
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

/**
 * The package, from beside aiot, from NODE_PATH, or from the folder one is in: a peer that need not be there.
 * @param places files from whose folders it is looked for
 * @throws AIOT_I2C_PACKAGE
 */
export async function loadI2cBus(
  places: readonly string[] = [import.meta.url, join(process.cwd(), 'package.json')],
): Promise<I2cBusModule> {
  let failure: unknown;
  for (const place of places) {
    let file: string;
    try {
      file = createRequire(place).resolve('i2c-bus');
    } catch (error) {
      failure ??= error;
      continue;
    }
    try {
      const loaded = (await import(pathToFileURL(file).href)) as { default?: I2cBusModule } & I2cBusModule;
      return loaded.default ?? loaded;
    } catch (cause) {
      throw new AiotError(
        'AIOT_I2C_PACKAGE',
        `the package i2c-bus is at ${dirname(file)}, and does not load`,
        {
          cause,
          next: `cd ${dirname(file)} && npm rebuild: it is compiled for one version of Node.`,
        },
      );
    }
  }
  throw new AiotError('AIOT_I2C_PACKAGE', 'the package i2c-bus is not installed here', { cause: failure });
}
