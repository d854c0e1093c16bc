import { describe, expect, it } from 'vitest';
import { openI2c } from '../../../src/lib/sensor/i2c/open.js';
import { chipNamed, describeChips, probeI2c } from '../../../src/lib/sensor/i2c/probe.js';
import { simulatedBus } from '../../../src/lib/sensor/i2c/simulated-bus.js';
import { testClock, url } from './support.js';

describe('the list of chips', () => {
  it('includes their addresses, fields, and settings', () => {
    const imu = chipNamed('LSM6DS3TR-C');
    expect(imu).toMatchObject({
      name: 'lsm6ds3tr-c',
      addresses: [0x6a, 0x6b],
      rateHz: 104,
      settings: expect.arrayContaining([expect.objectContaining({ name: 'range', default: '4' })]),
    });
    expect(imu!.fields.map(({ name }) => name)).toEqual(['ax', 'ay', 'az', 'gx', 'gy', 'gz']);
    expect(chipNamed('lsm6ds3trc')).toEqual(imu);
    expect(chipNamed('nothing')).toBeUndefined();
  });

  it('lists each chip once, with valid defaults', () => {
    const chips = describeChips();
    expect(new Set(chips.map(({ name }) => name)).size).toBe(chips.length);
    for (const { settings } of chips)
      for (const { choices, default: chosen } of settings) if (choices) expect(choices).toContain(chosen);
  });

  it('contains only chips that are simulated, each at its first address', async () => {
    for (const { name, fields } of describeChips()) {
      const clock = testClock();
      const bus = simulatedBus({ chips: [name], clock });
      const source = await openI2c(url(`i2c://sim/${name}`), { clock, bus });
      expect(source.fields).toEqual(fields);
      for await (const batch of source) {
        expect(batch.values.length).toBe(batch.count * fields.length);
        break;
      }
    }
  });
});

describe('a chip URL', () => {
  const refused = async (text: string) => {
    const clock = testClock();
    const bus = simulatedBus({ chips: ['lsm6ds3tr-c', 'lis3mdl'], clock });
    return openI2c(url(text), { clock, bus }).catch((error: unknown) => error);
  };

  it.each([
    ['i2c://1', /expected a bus and a chip/],
    ['i2c:///lsm6ds3tr-c', /expected a bus and a chip/],
    ['i2c://1/lsm9999', /unknown chip lsm9999/],
    ['i2c://1/lis3mdl,lis3mdl', /named twice/],
    ['i2c://1/lsm6ds3tr-c?rate=100', /expected one of 12.5, 26, 52, 104.*the nearest is 104/],
    ['i2c://1/lsm6ds3tr-c?range=3', /range.*expected one of 2, 4, 8, 16/],
    ['i2c://1/lsm6ds3tr-c?gyro=yes', /expected one of off, 125/],
    ['i2c://1/lsm6ds3tr-c?speed=1', /speed/],
    ['i2c://1/lsm6ds3tr-c?watermark=0', /watermark/],
    ['i2c://1/lsm6ds3tr-c?address=0x1c', /address=0x6a or 0x6b/],
    ['i2c://1/lsm6ds3tr-c?address=banana', /address=0x6a or 0x6b/],
    ['i2c://1/lsm6ds3tr-c?selftest=maybe', /selftest=on, off or required/],
    ['i2c://1/lsm6ds3tr-c?lis3mdl.rate=80', /lis3mdl.rate does not belong to any chip/],
    ['i2c://1/lsm6ds3tr-c,lis3mdl?lis3mdl.rate=81', /the nearest is 80/],
  ])('%s is rejected before any access', async (text, message) => {
    expect(await refused(text)).toMatchObject({
      code: 'AIOT_SENSOR_URL',
      message: expect.stringMatching(message),
    });
  });

  it('selects an address, or tries both if it has none', async () => {
    const clock = testClock();
    const bus = simulatedBus({ chips: [{ name: 'lsm6ds3tr-c', address: 0x6b }], clock });
    for (const query of ['', '?address=0x6b', '?address=107']) {
      const source = await openI2c(url(`i2c://sim/lsm6ds3tr-c${query}`), { clock, bus });
      expect(source.chips[0]!.address).toBe(0x6b);
      await source.close();
    }
  });
});

describe('a chip probe', () => {
  it('checks the URL, the bus, the chips, their self-tests, and the rate', async () => {
    const clock = testClock();
    const bus = simulatedBus({ chips: ['lsm6ds3tr-c', 'lis3mdl'], clock, odrError: 1.02 });
    const probe = await probeI2c(url('i2c://sim/lsm6ds3tr-c,lis3mdl'), { clock: parallel(clock), bus });
    expect(probe.steps.map(({ step, state }) => `${step} ${state}`)).toEqual([
      'url ok',
      'bus ok',
      'chip ok',
      'chip ok',
      'self-test ok',
      'self-test ok',
      'rate ok',
    ]);
    expect(probe.rateHz! / (104 * 1.02)).toBeCloseTo(1, 1);
    expect(probe.chips).toMatchObject([{ address: 0x6a }, { address: 0x1c }]);
    expect(probe.ok).toBe(true);
  });

  it.each([
    ['i2c://sim/none', 'url', 'AIOT_SENSOR_URL', () => {}],
    ['i2c://99/lsm6ds3tr-c', 'bus', 'AIOT_I2C_MISSING', null],
    ['i2c://sim/lis3mdl', 'chip', 'AIOT_I2C_NACK', () => {}],
    [
      'i2c://sim/lsm6ds3tr-c',
      'chip',
      'AIOT_SENSOR_IDENTITY',
      (bus: ReturnType<typeof simulatedBus>) => bus.chip('lsm6ds3tr-c').answerAs(0x6c),
    ],
    [
      'i2c://sim/lsm6ds3tr-c',
      'chip',
      'AIOT_I2C_STUCK',
      (bus: ReturnType<typeof simulatedBus>) => bus.stickNext(99),
    ],
  ])('of %s fails at the %s step with %s, and suggests a fix', async (text, step, code, prepare) => {
    const clock = testClock();
    const bus = simulatedBus({ chips: ['lsm6ds3tr-c'], clock });
    prepare?.(bus);
    const probe = await probeI2c(url(text), { clock, ...(prepare ? { bus } : {}) });
    expect(probe.ok).toBe(false);
    expect(probe.steps.at(-1)).toMatchObject({ step, state: 'failed', code, next: expect.any(String) });
  });

  it('reports retried transactions', async () => {
    const clock = testClock();
    const bus = simulatedBus({ chips: ['lsm6ds3tr-c'], clock });
    const { sleep } = clock;
    clock.sleep = async (ms, signal) => {
      await sleep(ms, signal);
      if (ms > 100) bus.chip('lsm6ds3tr-c').nackNext(1);
    };
    const probe = await probeI2c(url('i2c://sim/lsm6ds3tr-c'), { clock: parallel(clock), bus });
    expect(probe.steps.at(-1)).toMatchObject({
      step: 'rate',
      state: 'caution',
      what: expect.stringContaining('transactions retried'),
      next: expect.stringContaining('wires'),
    });
  });
});

/** A clock whose longest sleep, which is only a timeout, does not advance the shared time. */
function parallel(clock: ReturnType<typeof testClock>): ReturnType<typeof testClock> {
  return {
    ...clock,
    sleep: (ms, signal) =>
      ms < 2000
        ? clock.sleep(ms, signal)
        : new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason))),
  };
}
