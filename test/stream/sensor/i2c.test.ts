import { expect, it } from 'vitest';
import { openSource } from '../../../src/lib/stream/open.js';
import { runCli } from '../../support/cli.js';

it('an i2c: source streams sensor samples as JSON messages with their time', async () => {
  const source = await openSource('i2c://sim/lsm6ds3tr-c?rate=208&selftest=off&topic=wrist');
  for await (const [delivery] of source) {
    const { topic, payload, time } = delivery!.message;
    const record = JSON.parse(Buffer.from(payload).toString()) as Record<string, number>;
    expect(topic).toBe('wrist');
    expect(Object.keys(record)).toEqual(['t', 'ax', 'ay', 'az', 'gx', 'gy', 'gz']);
    expect(record.t).toBeCloseTo(time, 2);
    expect(Math.abs(time - Date.now())).toBeLessThan(5000);
    expect(Math.hypot(record.ax!, record.ay!, record.az!)).toBeCloseTo(1, 0);
    break;
  }
  expect(source.dropped).toBe(0);
});

it('aiot stream tail prints I2C sensor samples', async () => {
  const { stdout, code } = await runCli([
    'stream',
    'tail',
    'i2c://sim/lsm6ds3tr-c?selftest=off',
    '--count',
    '5',
  ]);
  expect(code).toBe(0);
  expect(
    stdout
      .trim()
      .split('\n')
      .filter((line) => line.includes('"ax"')),
  ).toHaveLength(5);
});

it('an i2c: source rejects an unknown sensor chip, and lists the known ones', async () => {
  await expect(openSource('i2c://sim/lsm1')).rejects.toMatchObject({
    code: 'AIOT_SENSOR_URL',
    next: expect.stringContaining('lsm6ds3tr-c'),
  });
});
