import { constants } from 'node:fs';
import { access, readFile, realpath } from 'node:fs/promises';
import { AiotError } from '../../../core/index.js';
import type { I2cBus, I2cTransactions } from '../bus.js';
import { createMutex } from '../mutex.js';
import { faultOf } from './faults.js';
import { type I2cBusModule, loadI2cBus, type PromisifiedBus } from './module.js';

/** SMBus's limit, which i2c-bus keeps for blocks. */
const longest = 32;
/** Addresses that are not reserved. */
const addresses = [0x08, 0x77] as const;

export interface LinuxRoots {
  dev: string;
  sys: string;
}

export interface LinuxBusOptions {
  load?: () => Promise<I2cBusModule>;
  roots?: LinuxRoots;
}

/**
 * A bus of Linux's i2c-dev through the package i2c-bus. One transaction at a time; after a fault that leaves it in doubt it is
 * opened anew by the next.
 * @param bus its number, or a path of it
 * @throws AIOT_I2C_MISSING, AIOT_I2C_DENIED, AIOT_I2C_PACKAGE, AIOT_SENSOR_URL
 */
export async function openLinuxBus(bus: string, options: LinuxBusOptions = {}): Promise<I2cBus> {
  const { load = () => loadI2cBus(), roots = { dev: '/dev', sys: '/sys' } } = options;
  const { path, number } = await findBus(bus, roots);
  const module = await load();
  let open: PromisifiedBus | null = null;
  let closed = false;

  const transact = async <T>(address: number, work: (bus: PromisifiedBus) => Promise<T>): Promise<T> => {
    if (closed) throw new AiotError('AIOT_I2C_MISSING', `${path}: it was closed`, { endpoint: path });
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

/** Path and number of a bus that is there and may be used. */
async function findBus(bus: string, { dev }: LinuxRoots): Promise<{ path: string; number: number }> {
  const named = /^\d{1,3}$/.test(bus) ? `${dev}/i2c-${bus}` : bus;
  const absent = (cause: unknown) =>
    new AiotError('AIOT_I2C_MISSING', `there is no ${named}`, { cause, endpoint: named });
  // A name that udev gives leads to the numbered one.
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
    throw new AiotError('AIOT_I2C_DENIED', `${path}: you may not use it`, { cause, endpoint: path });
  });
  return { path, number: Number(number) };
}

/** What the device tree says of the bus's clock: four bytes, highest first. */
async function speedOf(number: number, { sys }: LinuxRoots): Promise<number | null> {
  const file = `${sys}/bus/i2c/devices/i2c-${number}/of_node/clock-frequency`;
  const bytes = await readFile(file).catch(() => null);
  return bytes?.length === 4 ? bytes.readUInt32BE() : null;
}
