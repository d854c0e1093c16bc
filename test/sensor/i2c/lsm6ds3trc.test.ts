import { describe, expect, it } from 'vitest';
import { openI2c } from '../../../src/lib/sensor/i2c/open.js';
import {
  type SimulatedBus,
  type SimulatedBusSettings,
  simulatedBus,
} from '../../../src/lib/sensor/i2c/simulated-bus.js';
import { still } from '../../../src/lib/sensor/i2c/simulated-chip.js';
import type { I2cSource } from '../../../src/lib/sensor/i2c/source.js';
import type { SampleBatch } from '../../../src/lib/sensor/types.js';
import { countOf, lostOf, type TestClock, take, testClock, timesOf, url } from './support.js';

const place = 'i2c://sim/lsm6ds3tr-c';

async function open(
  query = '',
  settings: Partial<SimulatedBusSettings> = {},
): Promise<{ clock: TestClock; bus: SimulatedBus; source: I2cSource; states: string[] }> {
  const clock = testClock();
  const bus = simulatedBus({ chips: ['lsm6ds3tr-c'], clock, ...settings });
  const states: string[] = [];
  const onState = (state: string) => states.push(state);
  return { clock, bus, source: await openI2c(url(`${place}${query}`), { clock, bus, onState }), states };
}

/** A signal that numbers its samples: x counts ticks modulo 4000, and y counts the multiples of 4000. */
const numbered =
  (rateHz: number): NonNullable<SimulatedBusSettings['signal']> =>
  (seconds, world) => {
    const tick = Math.round(seconds * rateHz);
    world.ax = (tick % 4000) * 0.488e-3;
    world.ay = Math.floor(tick / 4000) * 0.488e-3;
  };
const numbersOf = (batches: readonly SampleBatch[], fields: number) =>
  batches.flatMap(({ values, count }) =>
    Array.from(
      { length: count },
      (_, i) =>
        Math.round(values[i * fields]! / 0.488e-3) + 4000 * Math.round(values[i * fields + 1]! / 0.488e-3),
    ),
  );

describe('the LSM6DS3TR-C on a bus', () => {
  it('is found, tested, and read in g and dps, one record per sample', async () => {
    const { source } = await open('', { signal: still, noise: false });
    expect(source.chips).toMatchObject([{ name: 'lsm6ds3tr-c', address: 0x6a, selfTest: { passed: true } }]);
    expect(source.fields.map(({ name, unit }) => `${name} ${unit}`)).toEqual([
      'ax g',
      'ay g',
      'az g',
      'gx dps',
      'gy dps',
      'gz dps',
    ]);
    const [batch] = await take(source, 1);
    expect([...batch!.values.slice(0, 6)]).toEqual([0, 0, expect.closeTo(1, 3), 0, 0, 0]);
    expect(source).toMatchObject({ rateHz: 104, cautions: [], saturated: 0, connected: true });
  });

  it('drops only samples from before its filters have settled', async () => {
    const { source } = await open('?range=16&gyro=2000', { signal: numbered(104), noise: false });
    const numbers = numbersOf(await take(source, 1000), 6);
    expect(numbers.every((number, i) => i === 0 || number === numbers[i - 1]! + 1)).toBe(true);
    expect(source.saturated).toBe(0);
  });

  it('delivers the accelerometer alone at 6664 Hz, and both sensors at 1666 Hz, without losing samples', async () => {
    for (const query of ['?rate=6664&gyro=off', '?rate=1666']) {
      const { source } = await open(query);
      const batches = await take(source, 20_000);
      expect([lostOf(batches), source.faults.overruns]).toEqual([0, 0]);
      const times = timesOf(batches);
      const seconds = (times.at(-1)! - times[0]!) / 1000;
      expect((times.length - 1) / seconds / source.rateHz).toBeCloseTo(1, 3);
    }
  });

  it('counts saturated values', async () => {
    const { source } = await open('?range=2', {
      signal: (_, world) => {
        world.ax = 5;
      },
    });
    const batches = await take(source, 100);
    expect(source.saturated).toBe(countOf(batches));
  });

  it('reports its true rate, measured by this machine’s clock', async () => {
    const { source } = await open('', { odrError: 1.031 });
    await take(source, 3000);
    expect(source.measuredHz / (104 * 1.031)).toBeCloseTo(1, 3);
  });

  it('sleeps after it is closed', async () => {
    const { source, bus } = await open();
    await take(source, 10);
    expect([...(await bus.read(0x6a, 0x10, 2)), ...(await bus.read(0x6a, 0x0a, 1))]).toEqual([0, 0, 0]);
  });
});

describe('a faulty LSM6DS3TR-C', () => {
  it('loses the oldest samples in an overrun, counts them, and shifts no axis', async () => {
    const { source, clock } = await open('?range=16', { signal: numbered(104), noise: false });
    const batches: SampleBatch[] = [];
    for await (const batch of source) {
      batches.push(batch);
      if (batches.length === 10) clock.pass(20_000);
      if (batches.length === 30) break;
    }
    const numbers = numbersOf(batches, 6);
    const jumps = numbers.slice(1).map((number, i) => number - numbers[i]! - 1);
    const missing = jumps.reduce((sum, jump) => sum + jump, 0);
    expect(jumps.filter((jump) => jump !== 0)).toEqual([missing]);
    expect(missing).toBeGreaterThan(1700);
    expect(Math.abs(lostOf(batches) - missing)).toBeLessThanOrEqual(1);
    expect(source.faults).toEqual({ overruns: 1, retries: 0, reconnects: 0 });
    const times = timesOf(batches);
    expect(times.every((time, i) => i === 0 || time > times[i - 1]!)).toBe(true);
  });

  it('is retried after unacknowledged transactions, without losing samples', async () => {
    const { source, bus } = await open('?range=16', { signal: numbered(104), noise: false });
    const batches: SampleBatch[] = [];
    for await (const batch of source) {
      batches.push(batch);
      if (batches.length % 3 === 0) bus.chip('lsm6ds3tr-c').nackNext(3);
      if (batches.length === 30) break;
    }
    const numbers = numbersOf(batches, 6);
    expect(numbers.at(-1)! - numbers[0]! + 1).toBe(numbers.length);
    expect([lostOf(batches), source.faults.retries]).toEqual([0, 30]);
  });

  it.each([
    ['a short status', 0, (bus: SimulatedBus) => bus.chip('lsm6ds3tr-c').shortNext(1)],
    ['a short first block', 1, (bus: SimulatedBus) => bus.chip('lsm6ds3tr-c').shortNext(1, 1)],
    ['a short third block', 1, (bus: SimulatedBus) => bus.chip('lsm6ds3tr-c').shortNext(1, 3)],
    ['a block lost in transit', 1, (bus: SimulatedBus) => bus.loseNext(4)],
    ['a stuck bus', 0, (bus: SimulatedBus) => bus.stickNext(2)],
    ['a bus that gets stuck midway', 0, (bus: SimulatedBus) => bus.stickNext(1, 4)],
    ['missing acknowledgments for a while', 0, (bus: SimulatedBus) => bus.chip('lsm6ds3tr-c').nackNext(6)],
  ])('keeps its axes aligned, and its missing samples counted, after %s', async (_, least, fault) => {
    // Like any real chip, this one is not in step with the reader.
    const odrError = 1.007;
    const signal = numbered(104 * odrError);
    const { source, bus } = await open('?range=16', { signal, noise: false, odrError });
    const batches: SampleBatch[] = [];
    for await (const batch of source) {
      batches.push(batch);
      if (batches.length % 5 === 0) fault(bus);
      if (batches.length === 60) break;
    }
    const numbers = numbersOf(batches, 6);
    const missing = numbers.at(-1)! - numbers[0]! + 1 - numbers.length;
    expect(numbers.every((number, i) => i === 0 || number > numbers[i - 1]!)).toBe(true);
    // Each of the eleven faults loses a block of at most two samples, and the truncated part of the next block.
    expect(missing).toBeGreaterThanOrEqual(11 * least);
    expect(missing).toBeLessThanOrEqual(33);
    expect(Math.abs(lostOf(batches) - missing)).toBeLessThanOrEqual(5);
    expect(source.faults.reconnects).toBe(0);
  });

  it('is set up again after it is replugged, and the gap is counted', async () => {
    const { source, bus, clock, states } = await open();
    const chip = bus.chip('lsm6ds3tr-c');
    const batches: SampleBatch[] = [];
    const back = { sleep: clock.sleep };
    let gone = false;
    clock.sleep = async (ms, signal) => {
      await back.sleep(ms, signal);
      if (gone && clock.monotonic() > 20_000) {
        gone = false;
        chip.replug();
      }
    };
    for await (const batch of source) {
      batches.push(batch);
      if (batches.length === 10) {
        chip.unplug();
        gone = true;
      }
      if (batches.length === 30) break;
    }
    expect(states).toEqual(['disconnected', 'connected']);
    expect(source.faults.reconnects).toBe(1);
    const times = timesOf(batches);
    const gap = Math.max(...times.slice(1).map((time, i) => time - times[i]!));
    expect(gap).toBeGreaterThan(10_000);
    expect(lostOf(batches) / ((gap / 1000) * 104)).toBeCloseTo(1, 1);
  });

  it('is set up repeatedly until it starts', async () => {
    const { source, bus } = await open();
    bus.chip('lsm6ds3tr-c').nackNext(40);
    const batches = await take(source, 500);
    expect(countOf(batches)).toBeGreaterThanOrEqual(500);
    expect([source.faults.reconnects, source.connected]).toEqual([1, true]);
  });

  it('is set up again after it lost power between two reads', async () => {
    const { source, bus, clock } = await open();
    const chip = bus.chip('lsm6ds3tr-c');
    const batches: SampleBatch[] = [];
    for await (const batch of source) {
      batches.push(batch);
      if (batches.length === 10) {
        chip.unplug();
        chip.replug();
        clock.pass(20);
      }
      if (batches.length === 20) break;
    }
    expect(source.faults.reconnects).toBe(1);
    expect(source.connected).toBe(true);
  });

  it('is rejected if another chip responds, and that chip is named', async () => {
    const clock = testClock();
    for (const [value, name] of [
      [0x6c, 'LSM6DSOX'],
      [0x69, 'LSM6DS3'],
      [0x33, 'an unknown chip'],
    ] as const) {
      const bus = simulatedBus({ chips: ['lsm6ds3tr-c'], clock });
      bus.chip('lsm6ds3tr-c').answerAs(value);
      await expect(openI2c(url(place), { clock, bus })).rejects.toMatchObject({
        code: 'AIOT_SENSOR_IDENTITY',
        message: expect.stringContaining(name),
      });
    }
  });

  it('is reported as missing with both possible addresses', async () => {
    const clock = testClock();
    const bus = simulatedBus({ chips: ['lis3mdl'], clock });
    await expect(openI2c(url(place), { clock, bus })).rejects.toMatchObject({
      code: 'AIOT_I2C_NACK',
      message: expect.stringMatching(/0x6a or 0x6b/),
    });
  });

  it('shows a jump of the machine’s clock as a time step, and loses no samples', async () => {
    const { source, clock } = await open();
    const batches: SampleBatch[] = [];
    for await (const batch of source) {
      batches.push(batch);
      if (batches.length === 10) clock.set(86_400_000);
      if (batches.length === 20) break;
    }
    expect(lostOf(batches)).toBe(0);
    expect(batches.filter(({ clockStepMs }) => clockStepMs !== undefined)).toMatchObject([
      { clockStepMs: expect.closeTo(86_400_000, -1) },
    ]);
    expect(Math.abs(timesOf(batches).at(-1)! - clock.now())).toBeLessThan(20);
  });

  it('causes a warning if its self-test fails, and an error if the self-test is required', async () => {
    const clock = testClock();
    // The signal is at the end of the range, where nothing can move it further.
    const signal: NonNullable<SimulatedBusSettings['signal']> = (_, world) => {
      world.ax = 5;
    };
    const bus = simulatedBus({ chips: ['lsm6ds3tr-c'], clock, signal });
    const source = await openI2c(url(place), { clock, bus });
    expect(source.cautions.join()).toMatch(/fails its self-test.*ax by/);
    await expect(openI2c(url(`${place}?selftest=required`), { clock, bus })).rejects.toMatchObject({
      code: 'AIOT_SENSOR_FAILED',
    });
    const spared = await openI2c(url(`${place}?selftest=off`), { clock, bus });
    expect([spared.cautions, spared.chips[0]!.selfTest]).toEqual([[], null]);
  });
});

describe('a slow bus', () => {
  it('causes a warning if little bandwidth is left, and an error if the rate does not fit', async () => {
    const { source } = await open('?rate=416', { speedHz: 100_000 });
    expect(source.cautions).toEqual([]);
    const busy = await open('?rate=833&gyro=off', { speedHz: 100_000 });
    expect(busy.source.cautions).toEqual([]);
    const busier = await open('?rate=1666', { speedHz: 250_000 });
    expect(busier.source.cautions).toEqual([
      expect.stringMatching(/% of a bus at 250 kHz.*i2c_arm_baudrate/),
    ]);
    await expect(open('?rate=3332', { speedHz: 400_000 })).rejects.toMatchObject({
      code: 'AIOT_SENSOR_URL',
      message: expect.stringContaining('400 kHz'),
    });
  });

  it('transfers 1666 samples per second from both sensors at 400 kHz', async () => {
    const { source } = await open('?rate=1666', { speedHz: 400_000 });
    expect(lostOf(await take(source, 20_000))).toBe(0);
  });
});
