import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../../src/lib/core/numbers.js';
import { decode, gaussPerCount, rateBytes } from '../../../src/lib/sensor/i2c/chips/lis3mdl.js';
import { Lis3mdlSimulator } from '../../../src/lib/sensor/i2c/chips/lis3mdl-simulator.js';
import { openI2c } from '../../../src/lib/sensor/i2c/open.js';
import { simulatedBus } from '../../../src/lib/sensor/i2c/simulated-bus.js';
import type { Signal } from '../../../src/lib/sensor/i2c/simulated-chip.js';
import type { SampleBatch } from '../../../src/lib/sensor/types.js';
import { countOf, lostOf, take, testClock, timesOf, url } from './support.js';

const field: Signal = (seconds, world) => {
  world.mx = 0.2;
  world.my = -0.4;
  // Each sample at 80 Hz has its own number.
  world.mz = (Math.round(seconds * 80) % 1000) / 1000;
};

describe('the LIS3MDL codecs', () => {
  it('encode slow rates by their code, and fast rates by the mode they need', () => {
    expect([0.625, 80, 1000, 560, 300, 155].map(rateBytes)).toEqual([
      { ctrl1: 0x60, ctrl4: 0x0c },
      { ctrl1: 0x7c, ctrl4: 0x0c },
      { ctrl1: 0x02, ctrl4: 0x00 },
      { ctrl1: 0x22, ctrl4: 0x04 },
      { ctrl1: 0x42, ctrl4: 0x08 },
      { ctrl1: 0x62, ctrl4: 0x0c },
    ]);
  });

  it('decode gauss, low byte first', () => {
    const bytes = Uint8Array.from([0, 0xba, 0x1a, 0x46, 0xe5, 0, 0]);
    expect(decode(bytes, 1, gaussPerCount(4))).toEqual([6842 / 6842, -6842 / 6842, 0]);
    expect([4, 8, 12, 16].map((range) => Math.round(1 / gaussPerCount(range)))).toEqual([
      6842, 3421, 2281, 1711,
    ]);
  });
});

describe('a simulated LIS3MDL', () => {
  const make = () =>
    new Lis3mdlSimulator({ signal: field, beganMs: 0, odrError: 1, random: seededRandom(1), noise: false });
  const bytes = (...values: number[]) => Uint8Array.from(values);

  it('sleeps until a measurement is requested, and again after a single measurement', () => {
    const chip = make();
    expect([...chip.read(0x27, 1, 1000)]).toEqual([0]);
    chip.write(0x20, bytes(0x7c), 1000);
    chip.write(0x22, bytes(0x01), 1000);
    expect([...chip.read(0x27, 1, 1100)]).toEqual([0x0f]);
    expect([...chip.read(0x22, 1, 1100)]).toEqual([0x03]);
  });

  it('advances through registers only with bit 7 of the address, and wraps within its outputs', () => {
    const chip = make();
    chip.write(0x22, bytes(0x00), 0);
    const low = chip.read(0x28, 3, 1000);
    expect(new Set(low).size).toBe(1);
    const wrapped = [...chip.read(0xa8, 8, 1000)];
    expect(wrapped.slice(6)).toEqual(wrapped.slice(0, 2));
  });

  it('reports an overwritten sample until it is read', () => {
    const chip = make();
    chip.write(0x20, bytes(0x7c), 0);
    chip.write(0x22, bytes(0x00), 0);
    expect([...chip.read(0x27, 1, 13)]).toEqual([0x0f]);
    expect([...chip.read(0x27, 1, 26)]).toEqual([0xff]);
    chip.read(0xa8, 6, 26);
    expect([...chip.read(0x27, 1, 26)]).toEqual([0x00]);
  });
});

describe('the LIS3MDL on a bus', () => {
  it('delivers each of its samples once, at its own rate', async () => {
    const clock = testClock();
    const bus = simulatedBus({ chips: ['lis3mdl'], clock, signal: field, odrError: 0.97, noise: false });
    const source = await openI2c(url('i2c://sim/lis3mdl'), { clock, bus });
    expect(source.chips).toMatchObject([{ address: 0x1c, selfTest: { passed: true } }]);
    const batches = await take(source, 2000);
    expect([countOf(batches), lostOf(batches)]).toEqual([2000, 0]);
    expect(batches[100]!.values[1]).toBeCloseTo(-0.4, 3);
    expect(source.measuredHz / (80 * 0.97)).toBeCloseTo(1, 3);
  });

  it('counts samples that were overwritten before they were read', async () => {
    const clock = testClock();
    const bus = simulatedBus({ chips: ['lis3mdl'], clock, signal: field });
    const source = await openI2c(url('i2c://sim/lis3mdl?rate=80'), { clock, bus });
    const batches: SampleBatch[] = [];
    for await (const batch of source) {
      batches.push(batch);
      if (batches.length === 200) clock.pass(1000);
      if (batches.length === 300) break;
    }
    expect(Math.abs(lostOf(batches) - 80)).toBeLessThanOrEqual(1);
    expect(source.faults.overruns).toBe(1);
  });

  it('is combined with the LSM6DS3TR-C in one record per sample, with the newest magnetic field', async () => {
    const clock = testClock();
    const signal: Signal = (seconds, world) => {
      world.ax = world.mx = 0.9 * Math.sin(2 * Math.PI * 0.2 * seconds);
    };
    const bus = simulatedBus({
      chips: ['lsm6ds3tr-c', 'lis3mdl'],
      clock,
      signal,
      noise: false,
      odrError: 1.01,
    });
    const place = 'i2c://sim/lsm6ds3tr-c,lis3mdl?rate=104&lis3mdl.range=8';
    const source = await openI2c(url(place), { clock, bus });
    expect(source.fields.map(({ name }) => name)).toEqual([
      ...['ax', 'ay', 'az'],
      ...['gx', 'gy', 'gz'],
      ...['mx', 'my', 'mz'],
    ]);
    const batches = await take(source, 2000);
    expect(lostOf(batches)).toBe(0);
    const off = batches
      .slice(2)
      .flatMap(({ values, count }) =>
        Array.from({ length: count }, (_, i) => Math.abs(values[9 * i]! - values[9 * i + 6]!)),
      );
    // How far the signal moves within two periods of 80 Hz.
    expect(Math.max(...off)).toBeLessThan(0.9 * 2 * Math.PI * 0.2 * 0.025 + 0.002);
    const times = timesOf(batches);
    expect(times.every((time, i) => i === 0 || time > times[i - 1]!)).toBe(true);
  });

  it('interrupts the joint record while it is unplugged, and both chips recover', async () => {
    const clock = testClock();
    const bus = simulatedBus({ chips: ['lsm6ds3tr-c', 'lis3mdl'], clock });
    const source = await openI2c(url('i2c://sim/lsm6ds3tr-c,lis3mdl'), { clock, bus });
    const { sleep } = clock;
    let backMs = Number.POSITIVE_INFINITY;
    clock.sleep = async (ms, signal) => {
      await sleep(ms, signal);
      if (clock.monotonic() > backMs) bus.chip('lis3mdl').replug();
      if (clock.monotonic() > backMs) backMs = Number.POSITIVE_INFINITY;
    };
    const batches: SampleBatch[] = [];
    for await (const batch of source) {
      batches.push(batch);
      if (batches.length === 5) {
        bus.chip('lis3mdl').unplug();
        backMs = clock.monotonic() + 3000;
      }
      if (batches.length === 10) break;
    }
    expect(source.faults.reconnects).toBe(1);
    expect(lostOf(batches)).toBeGreaterThan(250);
  });
});
