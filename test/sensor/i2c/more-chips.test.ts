import { describe, expect, it } from 'vitest';
import { hasCode } from '../../../src/lib/core/errors.js';
import { registersOf } from '../../../src/lib/sensor/i2c/bus.js';
import { adxl345 } from '../../../src/lib/sensor/i2c/chips/adxl345.js';
import { bme280 } from '../../../src/lib/sensor/i2c/chips/bme280.js';
import { lsm6dsox } from '../../../src/lib/sensor/i2c/chips/lsm6dsox.js';
import { mpu6050 } from '../../../src/lib/sensor/i2c/chips/mpu6050.js';
import { openI2c } from '../../../src/lib/sensor/i2c/open.js';
import { simulatedBus } from '../../../src/lib/sensor/i2c/simulated-bus.js';
import { type Signal, still } from '../../../src/lib/sensor/i2c/simulated-chip.js';
import { countOf, lostOf, take, testClock, timesOf, url } from './support.js';

/** Each chip, with its rate and the length of its buffer in seconds. */
const chips = [
  { driver: lsm6dsox, query: 'rate=104&gyro=2000', rateHz: 104, buffer: 256 / 104 },
  { driver: lsm6dsox, query: 'rate=1667&gyro=off', rateHz: 1667, buffer: 512 / 1667 },
  { driver: mpu6050, query: 'rate=100&gyro=500', rateHz: 100, buffer: 0.82 },
  { driver: mpu6050, query: 'rate=1000&gyro=off', rateHz: 1000, buffer: 0.167 },
  { driver: adxl345, query: 'rate=100', rateHz: 100, buffer: 0.32 },
  { driver: adxl345, query: 'rate=800&range=2', rateHz: 800, buffer: 0.04 },
] as const;

/** A position where every axis has a distinct value. */
const pose: Signal = (_seconds, world) => {
  Object.assign(world, { ax: 0.1, ay: -0.2, az: 0.9, gx: 10, gy: -20, gz: 30 });
};
const posed: Readonly<Record<string, number>> = { ax: 0.1, ay: -0.2, az: 0.9, gx: 10, gy: -20, gz: 30 };

for (const { driver, query, rateHz, buffer } of chips) {
  describe(`${driver.name} at ${query}`, () => {
    const open = async (signal: Signal = pose, odrError = 1) => {
      const clock = testClock();
      const bus = simulatedBus({ chips: [driver.name], clock, signal, odrError, noise: false });
      const source = await openI2c(url(`i2c://sim/${driver.name}?${query}`), { clock, bus });
      return { clock, bus, source, chip: bus.chip(driver.name) };
    };

    it('delivers every sample with each value in its place, at the chip’s true rate', async () => {
      const { source } = await open(pose, 1.02);
      const samples = rateHz * 30;
      const batches = await take(source, samples);
      const size = source.fields.length;
      for (const [at, { name, unit }] of source.fields.entries()) {
        let furthest = 0;
        for (const { values, count } of batches)
          for (let i = 0; i < count; i++)
            furthest = Math.max(furthest, Math.abs(values[i * size + at]! - posed[name]!));
        expect(furthest, name).toBeLessThan(unit === 'g' ? 0.003 : 0.05);
      }
      const times = timesOf(batches);
      const measured = (1000 * (times.length - 1)) / (times.at(-1)! - times[0]!);
      expect(Math.abs(measured / (rateHz * 1.02) - 1)).toBeLessThan(0.005);
      expect({ lost: lostOf(batches), faults: source.faults }).toEqual({
        lost: 0,
        faults: { overruns: 0, retries: 0, reconnects: 0 },
      });
    });

    it('counts the samples lost when it is not read in time, and recovers', async () => {
      const { clock, source } = await open();
      const iterator = source[Symbol.asyncIterator]();
      let batches = [(await iterator.next()).value];
      for (let n = 0; n < 20; n++) batches.push((await iterator.next()).value);
      clock.pass(4 * buffer * 1000);
      for (let n = 0; n < 20; n++) batches.push((await iterator.next()).value);
      expect(source.faults).toMatchObject({ overruns: 1, reconnects: 0 });
      const passed = timesOf(batches).at(-1)! - timesOf(batches)[0]!;
      const due = (passed * rateHz) / 1000 + 1;
      // The tolerance results from the uncertainty of one period at either end.
      expect(Math.abs(countOf(batches) + lostOf(batches) - due)).toBeLessThanOrEqual(3);
      expect(lostOf(batches)).toBeGreaterThan(2 * buffer * rateHz);
      batches = [(await iterator.next()).value];
      expect(Math.abs(batches[0]!.values[1] + 0.2)).toBeLessThan(0.005);
      await source.close();
    });

    it('is retried after a missing acknowledgment, and set up again after it is replugged', async () => {
      const { clock, source, chip } = await open();
      const iterator = source[Symbol.asyncIterator]();
      await iterator.next();
      chip.nackNext(2);
      await iterator.next();
      expect(source.faults).toEqual({ overruns: 0, retries: 2, reconnects: 0 });
      chip.unplug();
      // The chip is plugged back in after some simulated time.
      const { sleep } = clock;
      let slept = 0;
      clock.sleep = async (ms, signal) => {
        await sleep(ms, signal);
        slept += ms;
        if (slept > 3_000) chip.replug();
        if (slept > 3_000) clock.sleep = sleep;
      };
      const { value } = await iterator.next();
      expect(source.faults.reconnects).toBe(1);
      expect(Math.abs(value.values[0] - 0.1)).toBeLessThan(0.005);
      await source.close();
    });

    it('stays aligned after interrupted transactions', async () => {
      const { source, chip, bus } = await open();
      const iterator = source[Symbol.asyncIterator]();
      await iterator.next();
      for (let n = 0; n < 20; n++) {
        if (n % 3 === 0) chip.shortNext(1);
        if (n % 3 === 1) bus.stickNext(1);
        const { value } = await iterator.next();
        for (let i = 0; i < value.count; i++) {
          expect(Math.abs(value.values[i * source.fields.length] - 0.1)).toBeLessThan(0.005);
        }
      }
      await source.close();
    });

    it('passes its self-test', async () => {
      const { source } = await open(still);
      const test = source.chips[0]!.selfTest!;
      expect(test.passed, JSON.stringify(test.axes)).toBe(true);
      expect(test.axes.length).toBe(driver === adxl345 ? 3 : 6);
      await source.close();
    });
  });
}

describe('a chip that fails its self-test', () => {
  /** A strong push, during which the outputs stay at their limit, whatever the self-test adds. */
  const thrown: Signal = (seconds, world) => {
    world.ax = 100 * seconds;
  };
  for (const driver of [lsm6dsox, mpu6050, adxl345]) {
    it(`causes a warning, or an error if the test is required: ${driver.name}`, async () => {
      const clock = testClock();
      const bus = simulatedBus({ chips: [driver.name], clock, signal: thrown });
      const source = await openI2c(url(`i2c://sim/${driver.name}`), { clock, bus });
      expect(source.chips[0]!.selfTest!.passed).toBe(false);
      expect(source.cautions.join()).toContain('fails its self-test: it moved ax by');
      await source.close();
      const again = testClock();
      const fresh = simulatedBus({ chips: [driver.name], clock: again, signal: thrown });
      const required = url(`i2c://sim/${driver.name}?selftest=required`);
      await expect(openI2c(required, { clock: again, bus: fresh })).rejects.toMatchObject({
        code: 'AIOT_SENSOR_FAILED',
      });
    });
  }
});

describe('a different chip at the address', () => {
  const others = [
    [lsm6dsox, 0x6a, 'LSM6DS3TR-C'],
    [mpu6050, 0x70, 'MPU6500'],
    [mpu6050, 0x71, 'MPU9250'],
    [mpu6050, 0x72, 'clone'],
    [bme280, 0x58, 'BMP280'],
    [adxl345, 0x00, 'unknown'],
  ] as const;
  for (const [driver, value, name] of others) {
    it(`is named: ${name} instead of ${driver.name}`, async () => {
      const clock = testClock();
      const bus = simulatedBus({ chips: [driver.name], clock });
      bus.chip(driver.name).answerAs(value);
      const error = await openI2c(url(`i2c://sim/${driver.name}`), { clock, bus }).catch((e: unknown) => e);
      expect(hasCode(error, 'AIOT_SENSOR_IDENTITY')).toBe(true);
      expect((error as Error).message).toContain(name);
    });
  }
});

describe('unsupported chip settings', () => {
  const refused = [
    'lsm6dsox?rate=100',
    'lsm6dsox?range=3',
    'mpu6050?rate=104',
    'mpu6050?gyro=125',
    'adxl345?gyro=500',
    'adxl345?rate=1600',
    'adxl345?watermark=17',
    'bme280?rate=100',
    'bme280?oversampling=3',
    'bme280?rate=x',
  ];
  for (const text of refused) {
    it(`${text} is rejected`, async () => {
      await expect(openI2c(url(`i2c://sim/${text}`))).rejects.toMatchObject({ code: 'AIOT_SENSOR_URL' });
    });
  }
});

describe('the BME280 on a bus', () => {
  const climate: Signal = (_seconds, world) => {
    Object.assign(world, { temperature: 21.37, pressure: 98_765, humidity: 43.2 });
  };

  it('measures on demand, and returns degC, Pa, and %', async () => {
    const clock = testClock();
    const bus = simulatedBus({ chips: ['bme280'], clock, signal: climate, noise: false });
    const source = await openI2c(url('i2c://sim/bme280?rate=2&oversampling=4'), { clock, bus });
    const batches = await take(source, 10);
    const [first] = batches;
    expect(source.fields.map(({ name, unit }) => `${name} ${unit}`)).toEqual([
      'temperature degC',
      'pressure Pa',
      'humidity %',
    ]);
    expect(Math.abs(first!.values[0]! - 21.37)).toBeLessThan(0.01);
    expect(Math.abs(first!.values[1]! - 98_765)).toBeLessThan(1);
    expect(Math.abs(first!.values[2]! - 43.2)).toBeLessThan(0.05);
    const times = timesOf(batches);
    expect((times.at(-1)! - times[0]!) / (times.length - 1)).toBeCloseTo(500, -1);
  });

  it('is reported as broken if it has no calibration', async () => {
    const clock = testClock();
    const bus = simulatedBus({ chips: ['bme280'], clock });
    const faults = { overruns: 0, retries: 0, reconnects: 0 };
    const access = registersOf(bus, 0x76, clock, faults);
    const empty = { ...access, read: async (_: number, length: number) => new Uint8Array(length) };
    const session = bme280.plan(url('i2c://sim/bme280')).session(empty, clock);
    await expect(session.start()).rejects.toMatchObject({ code: 'AIOT_SENSOR_FAILED' });
  });
});
