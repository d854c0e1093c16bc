import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AiotError } from '../../../src/lib/core/errors.js';
import { type I2cBusModule, loadI2cBus, openLinuxBus } from '../../../src/lib/sensor/i2c/linux-bus.js';

/** An error in the format of the package's native part. */
const errno = (code: string) =>
  Object.assign(new Error(`${code}: , readI2cBlock`), { code, syscall: 'readI2cBlock' });

/** The part of i2c-bus 5.2.3 that we use, with its limits and behavior. */
class FakeModule implements I2cBusModule {
  opened = 0;
  closed = 0;
  active = 0;
  mostActive = 0;
  log: string[] = [];
  fail: string[] = [];
  registers = Uint8Array.from({ length: 256 }, (_, i) => i);
  given = Number.POSITIVE_INFINITY;

  async openPromisified(number: number) {
    this.opened++;
    let open = true;
    const transact = async (address: number, command: number, length: number, buffer: Buffer) => {
      if (!Buffer.isBuffer(buffer)) throw new Error('Invalid buffer');
      if (length > 32) throw new Error(`Invalid buffer length ${length}`);
      if (!open) throw errno('EBADF');
      this.mostActive = Math.max(this.mostActive, ++this.active);
      await new Promise((resolve) => setImmediate(resolve));
      this.active--;
      this.log.push(`${number}:${address.toString(16)}:${command.toString(16)}:${length}`);
      const failure = this.fail.shift();
      if (failure) throw errno(failure);
    };
    return {
      readI2cBlock: async (address: number, command: number, length: number, buffer: Buffer) => {
        await transact(address, command, length, buffer);
        const bytesRead = Math.min(length, this.given);
        buffer.set(this.registers.subarray(command, command + bytesRead));
        return { bytesRead, buffer };
      },
      writeI2cBlock: async (address: number, command: number, length: number, buffer: Buffer) => {
        await transact(address, command, length, buffer);
        this.registers.set(buffer.subarray(0, length), command);
        return { bytesWritten: length, buffer };
      },
      scan: async (first: number, last: number) =>
        [0x1c, 0x6a].filter((each) => each >= first && each <= last),
      close: async () => {
        open = false;
        this.closed++;
      },
    };
  }
}

describe('a Linux I²C bus', () => {
  let folder: string;
  let fake: FakeModule;
  const open = (bus = '1') =>
    openLinuxBus(bus, {
      load: async () => fake,
      roots: { dev: join(folder, 'dev'), sys: join(folder, 'sys') },
    });

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'aiot-i2c-'));
    fake = new FakeModule();
    await mkdir(join(folder, 'dev'));
    await writeFile(join(folder, 'dev', 'i2c-1'), '');
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('reads and writes registers in one transaction each', async () => {
    const bus = await open();
    expect([...(await bus.read(0x6a, 0x0f, 2))]).toEqual([0x0f, 0x10]);
    await bus.write(0x6a, 0x10, Uint8Array.from([0x48, 0x4c]));
    expect([...(await bus.read(0x6a, 0x10, 2))]).toEqual([0x48, 0x4c]);
    expect(fake.log).toEqual(['1:6a:f:2', '1:6a:10:2', '1:6a:10:2']);
    expect(await bus.scan()).toEqual([0x1c, 0x6a]);
    await bus.close();
    expect(fake.closed).toBe(1);
  });

  it('serializes transactions, and does not interrupt an exclusive sequence', async () => {
    const bus = await open();
    await Promise.all([
      bus.exclusive(async (inner) => {
        await inner.read(0x6a, 0x3a, 4);
        await inner.read(0x6a, 0x3e, 24);
      }),
      bus.read(0x1c, 0x27, 7),
      bus.read(0x1c, 0x0f, 1),
    ]);
    expect(fake.mostActive).toBe(1);
    expect(fake.log).toEqual(['1:6a:3a:4', '1:6a:3e:24', '1:1c:27:7', '1:1c:f:1']);
  });

  it.each([
    ['EREMOTEIO', 'AIOT_I2C_NACK', true, 1],
    ['ENXIO', 'AIOT_I2C_NACK', true, 1],
    ['ETIMEDOUT', 'AIOT_I2C_STUCK', true, 2],
    ['EBUSY', 'AIOT_I2C_BUSY', false, 2],
    ['EACCES', 'AIOT_I2C_DENIED', false, 2],
    ['ENOENT', 'AIOT_I2C_MISSING', true, 2],
    ['ENODEV', 'AIOT_I2C_MISSING', true, 2],
    ['EIO', 'AIOT_I2C_FAILED', true, 2],
    ['EAGAIN', 'AIOT_I2C_FAILED', true, 2],
  ])('reports %s as %s, and is reopened if necessary', async (name, code, retryable, opened) => {
    const bus = await open();
    await bus.read(0x6a, 0x0f, 1);
    fake.fail = [name];
    await expect(bus.read(0x6a, 0x0f, 1)).rejects.toMatchObject({ code, retryable });
    expect([...(await bus.read(0x6a, 0x0f, 1))]).toEqual([0x0f]);
    expect(fake.opened).toBe(opened);
  });

  it('returns the bytes received on a short read', async () => {
    const bus = await open();
    fake.given = 3;
    expect([...(await bus.read(0x6a, 0x20, 6))]).toEqual([0x20, 0x21, 0x22]);
  });

  it('is found by its number, its path, or its udev name', async () => {
    await symlink(join(folder, 'dev', 'i2c-1'), join(folder, 'dev', 'sensors'));
    for (const name of ['1', join(folder, 'dev', 'i2c-1'), join(folder, 'dev', 'sensors')])
      expect((await open(name)).name).toMatch(/dev\/i2c-1$/);
  });

  it('is reported as missing, with how to enable it', async () => {
    const error = await open('7').catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code: 'AIOT_I2C_MISSING' });
    expect((error as AiotError).next).toContain('raspi-config');
    await writeFile(join(folder, 'dev', 'other'), '');
    await expect(open(join(folder, 'dev', 'other'))).rejects.toMatchObject({ code: 'AIOT_SENSOR_URL' });
  });

  it('reports its speed if the device tree contains it', async () => {
    expect((await open()).speedHz).toBeNull();
    const node = join(folder, 'sys/bus/i2c/devices/i2c-1/of_node');
    await mkdir(node, { recursive: true });
    await writeFile(join(node, 'clock-frequency'), Buffer.from([0, 0x06, 0x1a, 0x80]));
    expect((await open()).speedHz).toBe(400_000);
  });

  it('cannot be used after it is closed', async () => {
    const bus = await open();
    await bus.close();
    await expect(bus.read(0x6a, 0x0f, 1)).rejects.toMatchObject({ code: 'AIOT_I2C_MISSING' });
    expect(fake.opened).toBe(0);
  });
});

it('opening an I²C bus without the I²C package reports the package, and how to install it', async () => {
  const error = await loadI2cBus([join(tmpdir(), 'nowhere.js')]).catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(AiotError);
  expect(error).toMatchObject({ code: 'AIOT_I2C_PACKAGE' });
  expect((error as AiotError).next).toContain('npm install -g i2c-bus');
});
