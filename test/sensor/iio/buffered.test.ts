import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Clock } from '../../../src/lib/core/time.js';
import { openIio } from '../../../src/lib/sensor/iio/open.js';
import type { SampleBatch, SampleSource } from '../../../src/lib/sensor/types.js';
import { accelScan, type IioTree, iioTree, lsm6dsoxAccel, scanElements } from '../../support/iio-tree.js';

let root: string;
let tree: IioTree;
let source: SampleSource | undefined;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'aiot-iio-'));
});
afterEach(async () => {
  await source?.close();
  source = undefined;
  await tree.close();
  await rm(root, { recursive: true });
});

async function open(url: string, attributes: Record<string, string> = lsm6dsoxAccel): Promise<SampleSource> {
  tree = await iioTree(root, attributes);
  source = await openIio(url, tree);
  return source;
}

async function next(from: SampleSource): Promise<SampleBatch> {
  const { value } = await from[Symbol.asyncIterator]().next();
  return value as SampleBatch;
}

const second = 1_000_000_000n;

describe('an Industrial I/O device with a buffer', () => {
  it('is fully configured before it is enabled, and is disabled when it is closed', async () => {
    const opened = await open('iio://lsm6dsox_accel?rate=100&range=4&watermark=26');
    expect(opened.endpoint).toBe('iio:lsm6dsox_accel');
    expect(opened.rateHz).toBe(104);
    expect(opened.fields).toEqual([
      { name: 'ax', unit: 'm/s²' },
      { name: 'ay', unit: 'm/s²' },
      { name: 'az', unit: 'm/s²' },
    ]);
    const set = {
      sampling_frequency: '104.000000',
      in_accel_scale: '0.001196',
      current_timestamp_clock: 'monotonic',
      'buffer0/in_accel_x_en': '1',
      'buffer0/in_timestamp_en': '1',
      'buffer0/length': '512',
      'buffer0/watermark': '26',
      'buffer0/enable': '1',
    };
    for (const [name, value] of Object.entries(set)) expect(await tree.attribute(name), name).toBe(value);
    await opened.close();
    expect(await tree.attribute('buffer0/enable')).toBe('0');
  });

  it('delivers samples in m/s² with kernel timestamps mapped to local time', async () => {
    const opened = await open('iio://iio:device0?rate=104&range=2&watermark=1');
    const before = Date.now();
    await tree.feed(
      Buffer.concat([
        accelScan(16393, -8197, 0, 5n * second),
        accelScan(0, 0, 16393, 5n * second + 9_615_384n),
      ]),
    );
    const { values, times, count, lost } = await next(opened);
    expect({ count, lost }).toEqual({ count: 2, lost: 0 });
    // 16393 counts of 0.061 mg (facts of the chip) are 1 g, which is 9.80665 m/s².
    expect(values[0]).toBeCloseTo(9.803, 3);
    expect(values[5]).toBeCloseTo(9.803, 3);
    expect(times[1]! - times[0]!).toBeCloseTo(9.615384, 3);
    // Date.now() has whole milliseconds, from a clock other than the monotonic one.
    expect(times[1]!).toBeGreaterThanOrEqual(before - 1);
    expect(times[1]!).toBeLessThanOrEqual(Date.now() + 1);
  });

  it('joins a scan that arrives in two parts', async () => {
    const opened = await open('iio://lsm6dsox_accel?watermark=1');
    const scan = accelScan(100, 200, 300, second);
    await tree.feed(scan.subarray(0, 5));
    const coming = next(opened);
    await new Promise((resolve) => setTimeout(resolve, 60));
    await tree.feed(scan.subarray(5));
    const { count, values } = await coming;
    expect(count).toBe(1);
    expect(values[2]).toBeCloseTo(300 * 0.000598, 9);
  });

  it('counts samples lost to a full buffer', async () => {
    const opened = await open('iio://lsm6dsox_accel?rate=416&length=64&watermark=1');
    const scans = (from: number, count: number) =>
      Buffer.concat(
        Array.from({ length: count }, (_, i) => accelScan(i, 0, 0, BigInt(from + i) * 2_400_000n)),
      );
    const iterator = opened[Symbol.asyncIterator]();
    await tree.feed(scans(0, 64));
    expect((await iterator.next()).value.count).toBe(64);
    await tree.feed(scans(64 + 36, 10));
    const { lost, count } = (await iterator.next()).value as SampleBatch;
    expect({ lost, count, overruns: opened.faults.overruns }).toEqual({ lost: 36, count: 10, overruns: 1 });
  });

  it('is reported as lost when it delivers no more samples', async () => {
    tree = await iioTree(root, lsm6dsoxAccel);
    let sleptMs = 0;
    const clock = {
      now: () => 0,
      sleep: async (ms: number) => {
        sleptMs += ms;
      },
    };
    source = await openIio('iio://lsm6dsox_accel?rate=104&watermark=26', { ...tree, clock });
    await expect(next(source)).rejects.toMatchObject({ code: 'AIOT_SENSOR_LOST' });
    expect(sleptMs).toBeGreaterThan(3_000);
    expect(sleptMs).toBeLessThan(10_000);
  });

  it('is reported as lost when it is unplugged', async () => {
    const opened = await open('iio://lsm6dsox_accel?rate=416&watermark=1');
    await tree.feed(accelScan(1, 2, 3, second));
    const iterator = opened[Symbol.asyncIterator]();
    await iterator.next();
    await tree.unplug();
    await expect(iterator.next()).rejects.toMatchObject({ code: 'AIOT_SENSOR_LOST', retryable: true });
  });

  it('ends immediately when it is closed while waiting', async () => {
    tree = await iioTree(root, lsm6dsoxAccel);
    let sleeps = () => {};
    const asleep = new Promise<void>((resolve) => {
      sleeps = resolve;
    });
    // Only the end of the source ends a wait.
    const clock: Clock = {
      now: Date.now,
      sleep: (_ms, signal) =>
        new Promise((_, reject) => {
          signal?.addEventListener('abort', () => reject(signal.reason));
          sleeps();
        }),
    };
    const opened = await openIio('iio://lsm6dsox_accel', { ...tree, clock });
    const waiting = opened[Symbol.asyncIterator]().next();
    await asleep;
    await opened.close();
    expect((await waiting).done).toBe(true);
  });

  it('supports the folders of older kernels, triggers, and big-endian values', async () => {
    const mpu6050 = {
      name: 'mpu6050',
      in_sampling_frequency: '50',
      sampling_frequency_available: '10 20 50 100 200 500',
      in_accel_scale: '0.000598',
      in_anglvel_scale: '0.001064724',
      in_temp_scale: '2.941176',
      in_temp_offset: '12420',
      'trigger/current_trigger': '',
      '../trigger0/name': 'mpu6050-dev0',
      'buffer/enable': '0',
      'buffer/length': '2',
      ...scanElements('scan_elements', {
        accel_x: [0, 'be:s16/16>>0'],
        temp: [3, 'be:s16/16>>0'],
        anglvel_z: [6, 'be:s16/16>>0'],
        timestamp: [7, 'le:s64/64>>0'],
      }),
    };
    const opened = await open('iio://mpu6050?watermark=1', mpu6050);
    expect(await tree.attribute('trigger/current_trigger')).toBe('mpu6050-dev0');
    expect(opened.rateHz).toBe(50);
    const scan = Buffer.alloc(16);
    scan.writeInt16BE(16393, 0);
    scan.writeInt16BE(-3920, 2);
    scan.writeInt16BE(-1000, 4);
    scan.writeBigInt64LE(second, 8);
    await tree.feed(scan);
    const { values } = await next(opened);
    expect(opened.fields.map(({ name, unit }) => `${name} ${unit}`)).toEqual([
      'ax m/s²',
      'temperature degC',
      'gz rad/s',
    ]);
    expect([...values]).toEqual([
      expect.closeTo(9.803, 3),
      expect.closeTo((-3920 + 12420) * 2.941176e-3, 6),
      expect.closeTo(-1.064724, 6),
    ]);
  });

  it('rotates its axes by the mount matrix', async () => {
    const opened = await open('iio://lsm6dsox_accel?watermark=1', {
      ...lsm6dsoxAccel,
      in_mount_matrix: '0, 1, 0; -1, 0, 0; 0, 0, 1',
    });
    await tree.feed(accelScan(100, 200, 300, second));
    const { values } = await next(opened);
    expect([...values].map((value) => Math.round(value / 0.000598))).toEqual([200, -100, 300]);
  });

  it('spaces samples without timestamps evenly, up to the arrival of the newest', async () => {
    const { 'buffer0/in_timestamp_en': _, ...without }: Record<string, string> = lsm6dsoxAccel;
    const opened = await open('iio://lsm6dsox_accel?rate=104&watermark=1', without);
    const scan = Buffer.alloc(6 * 4);
    const before = Date.now();
    await tree.feed(scan);
    const { times, count } = await next(opened);
    expect(count).toBe(4);
    expect(times[3]! - times[2]!).toBeCloseTo(1000 / 104, 3);
    expect(times[3]!).toBeGreaterThan(before - 200);
    expect(times[3]!).toBeLessThanOrEqual(Date.now() + 1);
  });
});

describe('an Industrial I/O device that cannot be opened', () => {
  const refused = [
    ['iio://', 'AIOT_SENSOR_URL'],
    ['iio://lsm6dsox_acel', 'AIOT_SENSOR_NOT_FOUND'],
    ['iio://lsm6dsox_accel?speed=3', 'AIOT_SENSOR_URL'],
    ['iio://lsm6dsox_accel?rate=-1', 'AIOT_SENSOR_URL'],
    ['iio://lsm6dsox_accel?channels=accel_w', 'AIOT_SENSOR_URL'],
    ['iio://lsm6dsox_accel?range=32', 'AIOT_SENSOR_URL'],
    ['iio://lsm6dsox_accel?gyro=500', 'AIOT_SENSOR_URL'],
    ['iio://lsm6dsox_accel?mode=direct&rate=1000', 'AIOT_SENSOR_URL'],
  ] as const;
  for (const [url, code] of refused) {
    it(`${url} fails with ${code}`, async () => {
      await expect(open(url)).rejects.toMatchObject({ code });
    });
  }

  it('is reported with the name of a similar device', async () => {
    await expect(open('iio://lsm6dsox_acel')).rejects.toMatchObject({
      message: 'no Industrial I/O device is named lsm6dsox_acel. Did you mean iio://lsm6dsox_accel?',
    });
  });
});
