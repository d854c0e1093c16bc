import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { listIio } from '../../../src/lib/sensor/iio/device.js';
import { openIio } from '../../../src/lib/sensor/iio/open.js';
import type { SampleBatch } from '../../../src/lib/sensor/types.js';
import { type IioTree, iioTree } from '../../support/iio-tree.js';
import { testClock } from '../i2c/support.js';

let root: string;
let tree: IioTree | undefined;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'aiot-iio-'));
});
afterEach(async () => {
  await tree?.close();
  tree = undefined;
  await rm(root, { recursive: true });
});

const bme280 = {
  name: 'bme280',
  in_temp_input: '25080',
  in_pressure_input: '100.653281',
  in_humidityrelative_input: '34409',
};
const adxl345 = {
  name: 'adxl345',
  in_accel_scale: '0.038300',
  in_accel_x_raw: '0',
  in_accel_y_raw: '-256',
  in_accel_z_raw: '256',
};

describe('an Industrial I/O device without a buffer', () => {
  it('is read value by value in degC, Pa, and %, as its endpoint shows', async () => {
    tree = await iioTree(root, bme280);
    const source = await openIio('iio://bme280?rate=50', tree);
    expect(source.endpoint).toBe('iio:bme280 (one by one)');
    expect(source.rateHz).toBe(50);
    const byName: Record<string, string> = {};
    const iterator = source[Symbol.asyncIterator]();
    const { value } = await iterator.next();
    for (const [at, { name, unit }] of source.fields.entries()) {
      byName[name] = `${value.values[at].toFixed(2)} ${unit}`;
    }
    expect(byName).toEqual({
      temperature: '25.08 degC',
      pressure: '100653.28 Pa',
      humidity: '34.41 %',
    });
    await source.close();
    expect((await iterator.next()).done).toBe(true);
  });

  it('keeps its rate on a slow machine', async () => {
    tree = await iioTree(root, adxl345);
    const clock = testClock();
    const url = 'iio://adxl345?rate=100&channels=accel_z';
    const source = await openIio(url, { ...tree, clock });
    const times: number[] = [];
    for await (const batch of source) {
      times.push(...batch.times);
      expect([...batch.values]).toEqual([expect.closeTo(9.8048, 6)]);
      // Simulates a machine that is occasionally slow.
      if (times.length % 5 === 0) clock.pass(7);
      if (times.length === 100) break;
    }
    await source.close();
    expect((times.at(-1)! - times[0]!) / 99).toBeCloseTo(10, 1);
  });

  it('skips a whole sample if one of its values is missing, and is lost when it is unplugged', async () => {
    tree = await iioTree(root, adxl345);
    const source = await openIio('iio://adxl345?rate=100', tree);
    const iterator = source[Symbol.asyncIterator]();
    await iterator.next();
    await tree.set('in_accel_y_raw', '');
    const coming = iterator.next();
    await expect.poll(() => source.faults.retries).toBeGreaterThan(0);
    await tree.set('in_accel_y_raw', '12');
    const { lost, values } = (await coming).value as SampleBatch;
    expect(lost).toBeGreaterThan(0);
    expect(source.faults.retries).toBe(lost);
    expect(values[1]).toBeCloseTo(12 * 0.0383, 9);
    await tree.unplug();
    await expect(iterator.next()).rejects.toMatchObject({ code: 'AIOT_SENSOR_LOST' });
  });

  it('rejects mode=buffer, and the error explains what a buffer needs', async () => {
    tree = await iioTree(root, adxl345);
    await expect(openIio('iio://adxl345?mode=buffer', tree)).rejects.toMatchObject({
      code: 'AIOT_SENSOR_FAILED',
      next: expect.stringContaining('interrupt'),
    });
  });
});

describe('the device list', () => {
  it('lists each device, and whether it has a buffer', async () => {
    tree = await iioTree(root, bme280);
    expect(await listIio(tree)).toMatchObject([{ id: 'iio:device0', name: 'bme280', buffered: false }]);
    expect(await listIio({ sysfs: join(root, 'none') })).toEqual([]);
  });
});
