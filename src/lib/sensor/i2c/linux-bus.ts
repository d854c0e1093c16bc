import { constants } from 'node:fs';
import { access, readFile, realpath } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { ErrorCode } from '../../core/catalogue.js';
import { AiotError, systemCode } from '../../core/errors.js';
import { hex } from '../../core/figures.js';
import { createMutex, type I2cBus, type I2cTransactions } from './bus.js';

/** SMBus's limit for the length of a block, which i2c-bus applies to all blocks. */
const longest = 32;

/** First and last address that is not reserved. */
const addresses = [0x08, 0x77] as const;

interface LinuxRoots {
  dev: string;
  sys: string;
}

interface LinuxBusOptions {
  load?: () => Promise<I2cBusModule>;
  roots?: LinuxRoots;
}

/**
 * Opens a bus of Linux's i2c-dev through the package i2c-bus. Runs one transaction at a time. After a fault that may leave the bus in an
 * unknown state, the next transaction reopens it.
 * @param bus number or path of the bus
 * @throws AIOT_I2C_MISSING, AIOT_I2C_DENIED, AIOT_I2C_PACKAGE, AIOT_SENSOR_URL
 */
export async function openLinuxBus(bus: string, options: LinuxBusOptions = {}): Promise<I2cBus> {
  const { load = () => loadI2cBus(), roots = { dev: '/dev', sys: '/sys' } } = options;
  const { path, number } = await findBus(bus, roots);
  const module = await load();
  let open: PromisifiedBus | null = null;
  let closed = false;

  const transact = async <T>(address: number, work: (bus: PromisifiedBus) => Promise<T>): Promise<T> => {
    if (closed) throw new AiotError('AIOT_I2C_MISSING', `${path}: the bus is closed`, { endpoint: path });
    try {
      open ??= await module.openPromisified(number);
      return await work(open);
    } catch (cause) {
      const { error, reopen } = faultOf(cause, path, address);
      if (reopen) {
        await open?.close().catch(() => {});
        open = null;
      }
      throw error;
    }
  };
  const direct: I2cTransactions = {
    read: (address, register, length) =>
      transact(address, async (device) => {
        const { bytesRead, buffer } = await device.readI2cBlock(
          address,
          register,
          length,
          Buffer.alloc(length),
        );
        return bytesRead === length ? buffer : buffer.subarray(0, bytesRead);
      }),
    write: (address, register, bytes) =>
      transact(address, async (device) => {
        await device.writeI2cBlock(address, register, bytes.length, Buffer.from(bytes));
      }),
  };
  const mutex = createMutex();
  return {
    name: path,
    longest,
    speedHz: await speedOf(number, roots),
    read: (...args) => mutex(() => direct.read(...args)),
    write: (...args) => mutex(() => direct.write(...args)),
    exclusive: (work) => mutex(() => work(direct)),
    scan: () => mutex(() => transact(0, (device) => device.scan(...addresses))),
    async close() {
      await mutex(async () => {
        closed = true;
        await open?.close().catch(() => {});
        open = null;
      });
    },
  };
}

/** Path and number of a bus, after checking that it exists and is accessible. */
async function findBus(bus: string, { dev }: LinuxRoots): Promise<{ path: string; number: number }> {
  const named = /^\d{1,3}$/.test(bus) ? `${dev}/i2c-${bus}` : bus;
  const absent = (cause: unknown) =>
    new AiotError('AIOT_I2C_MISSING', `${named} does not exist`, { cause, endpoint: named });
  // A name assigned by udev is a link to the numbered device.
  const path = await realpath(named).catch((cause) => {
    throw absent(cause);
  });
  const number = /\/i2c-(\d{1,3})$/.exec(path)?.[1];
  if (number === undefined)
    throw new AiotError(
      'AIOT_SENSOR_URL',
      `expected a bus as a number or a path such as %2Fdev%2Fi2c-1, got ${bus}`,
    );
  await access(path, constants.R_OK | constants.W_OK).catch((cause) => {
    throw new AiotError('AIOT_I2C_DENIED', `${path}: you do not have permission to use it`, {
      cause,
      endpoint: path,
    });
  });
  return { path, number: Number(number) };
}

/** The bus clock from the device tree: four bytes, most significant first. */
async function speedOf(number: number, { sys }: LinuxRoots): Promise<number | null> {
  const file = `${sys}/bus/i2c/devices/i2c-${number}/of_node/clock-frequency`;
  const bytes = await readFile(file).catch(() => null);
  return bytes?.length === 4 ? bytes.readUInt32BE() : null;
}

/** The part of i2c-bus 5.2 that is used here: its promise API. Callers pass in the buffers, and `bytesRead` may be less than requested. */
export interface I2cBusModule {
  openPromisified(busNumber: number): Promise<PromisifiedBus>;
}

interface PromisifiedBus {
  /** Reads at most 32 bytes, in one transaction with a repeated START. */
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
  /** Reads a byte from every address of a range; returns those that respond. */
  scan(first: number, last: number): Promise<number[]>;
  close(): Promise<void>;
}

/**
 * Loads the package, an optional peer dependency, from beside aiot, from NODE_PATH, or from the current folder.
 * @param places files; the package is searched for from their folders
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
        `the package i2c-bus is installed in ${dirname(file)}, but cannot be loaded`,
        {
          cause,
          next: `Run \`npm rebuild\` in ${dirname(file)}: the package is compiled for one version of Node.`,
        },
      );
    }
  }
  throw new AiotError('AIOT_I2C_PACKAGE', 'the package i2c-bus is not installed', { cause: failure });
}

interface Fault {
  code: ErrorCode;
  what: (address: number) => string;
  retryable: boolean;
  /** Whether the bus has to be reopened before it is used again. */
  reopen: boolean;
}

const nack: Fault = {
  code: 'AIOT_I2C_NACK',
  what: (address) => `no chip responds at ${hex(address, 2)}`,
  retryable: true,
  reopen: false,
};

const missing: Fault = {
  code: 'AIOT_I2C_MISSING',
  what: () => 'the bus was disconnected',
  retryable: true,
  reopen: true,
};

/** Errors of Linux's I²C controller drivers (Documentation/i2c/fault-codes.rst), by name. */
const faults: Readonly<Record<string, Fault>> = {
  EREMOTEIO: nack,
  ENXIO: nack,
  ETIMEDOUT: {
    code: 'AIOT_I2C_STUCK',
    what: (address) => `the transaction with ${hex(address, 2)} timed out`,
    retryable: true,
    reopen: true,
  },
  // If an address could not be set, i2c-bus 5.2 keeps the file open, and later uses it to access address 0. The bus is therefore reopened.
  EBUSY: {
    code: 'AIOT_I2C_BUSY',
    what: (address) => `a kernel driver is using ${hex(address, 2)}`,
    retryable: false,
    reopen: true,
  },
  EACCES: {
    code: 'AIOT_I2C_DENIED',
    what: () => 'you do not have permission to use it',
    retryable: false,
    reopen: true,
  },
  EPERM: {
    code: 'AIOT_I2C_DENIED',
    what: () => 'you do not have permission to use it',
    retryable: false,
    reopen: true,
  },
  ENOENT: missing,
  ENODEV: missing,
  EBADF: missing,
};

/** @returns the error, and whether the bus has to be reopened */
function faultOf(cause: unknown, bus: string, address: number): { error: AiotError; reopen: boolean } {
  const fault = faults[systemCode(cause) ?? ''];
  const name = systemCode(cause) ?? 'an unknown error';
  if (!fault) {
    const error = new AiotError(
      'AIOT_I2C_FAILED',
      `${bus}: ${name} in a transaction with ${hex(address, 2)}`,
      {
        cause,
        endpoint: bus,
        retryable: true,
      },
    );
    return { error, reopen: true };
  }
  const { code, what, retryable, reopen } = fault;
  return {
    error: new AiotError(code, `${bus}: ${what(address)} (${name})`, { cause, endpoint: bus, retryable }),
    reopen,
  };
}
