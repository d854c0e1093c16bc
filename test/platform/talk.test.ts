import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { clientFor } from '../../src/lib/api/context.js';
import { deviceReplySchema } from '../../src/lib/api/contract/commands.js';
import { deviceMessagesSchema, logPageSchema } from '../../src/lib/api/contract/devices.js';
import { simulateCommand } from '../../src/lib/cli/render/provisioned.js';
import { suitableSource } from '../../src/lib/device/telemetry/sensor.js';
import { searchLogs } from '../../src/lib/platform/devices/talk.js';
import type { Telemetry } from '../../src/lib/platform/journal/telemetry.js';
import { runCli } from '../support/cli.js';
import { type FakeDevice, fakeDevice } from '../support/fake-device.js';
import { ok, refusal, type UpForTests, upForTests } from '../support/up.js';

let own: UpForTests;
let device: FakeDevice;

beforeAll(async () => {
  own = await upForTests();
  await runCli(['device', 'provision', 'd1', '--type', 'virtual', '--out', join(own.folder, 'd1')]);
  device = await fakeDevice(own.mqtts, join(own.folder, 'd1'), 'd1');
});
afterAll(async () => {
  await device.client.endAsync(true);
  await own.stop();
});

/**
 * Messages are ordered by their time of arrival in milliseconds, so no two are sent in the same millisecond.
 */
const say = async (channel: string, message: object) => {
  for (const now = Date.now(); Date.now() === now; ) await setImmediate();
  await device.client.publishAsync(`aiot/v1/d1/${channel}`, JSON.stringify(message), { qos: 1 });
};

it('a recording of a stream without samples fails, and names a command that sends some', async () => {
  const project = join(own.folder, 'shake');
  await mkdir(project);
  await writeFile(
    join(project, 'aiot.yaml'),
    'name: shake\nstream: { topic: shake, fields: { x: { unit: g } } }\nsignal: { rate: 50, window: 50, stride: 25 }\n',
  );
  const { json } = await runCli(['data', 'record', '--project', project, '--for', '1s', '--json']);
  const { error } = json as { error: { code: string; next: string } };
  expect(error.code).toBe('AIOT_DATA_EMPTY');
  expect(error.next).toContain('`aiot device simulate DEVICE --recording FILE.csv --stream shake --loop`');
  expect(error.next).toContain('restart it without that flag');
});

describe('a device’s latest messages', () => {
  it('are listed by channel, oldest first, across streams and recordings, up to the limit', async () => {
    for (let seq = 0; seq < 3; seq++) {
      await say('telemetry/imu', { seq, t: Date.now(), x: [seq], recording: `r${seq % 2}` });
      await say('log', { t: Date.now(), level: 'info', message: `line ${seq}` });
    }
    await say('telemetry/power', { seq: 0, t: Date.now(), watts: 3 });
    const logs = await ok(deviceMessagesSchema.shape.messages, ['device', 'logs', 'd1', '--limit', '2']);
    expect(logs.map(({ payload }) => payload.message)).toEqual(['line 1', 'line 2']);
    const since = Date.now() - 60_000;
    const telemetry = await (await clientFor()).devices.messages('d1', {
      channel: 'telemetry',
      since,
      limit: 50,
    });
    expect(telemetry.map(({ stream, payload }) => [stream, payload.seq])).toEqual([
      ...[0, 1, 2].map((seq) => ['imu', seq]),
      ['power', 0],
    ]);
    expect((await runCli(['device', 'logs', 'd1'])).stdout).toContain('line 2');
    expect(
      await ok(deviceMessagesSchema.shape.messages, ['device', 'logs', 'd1', '--channel', 'inference']),
    ).toEqual([]);
    expect(await refusal(['device', 'logs', 'nobody'])).toMatchObject({ code: 'AIOT_NOT_FOUND' });
  });
});

describe('a command', () => {
  it('is answered or rejected by an online device, and rejected by the platform for an offline one', async () => {
    await device.client.subscribeAsync('aiot/v1/d1/command', { qos: 1 });
    device.client.on('message', (topic, payload) => {
      if (!topic.endsWith('/command')) return;
      const { id, command, expires } = JSON.parse(payload.toString());
      expect(expires).toBeGreaterThan(Date.now());
      const error = { code: 'AIOT_DEVICE_BUSY', message: 'not now' };
      void say('reply', { id: 'of another', t: 1, ok: true });
      void say(
        'reply',
        command === 'ping' ? { id, t: 1, ok: true, result: { t: 7 } } : { id, t: 1, ok: false, error },
      );
    });
    const reply = await ok(deviceReplySchema, ['device', 'call', 'd1', 'ping']);
    expect(reply).toMatchObject({ device: 'd1', command: 'ping', result: { t: 7 } });
    expect((await runCli(['device', 'call', 'd1', 'ping'])).stdout).toContain('d1 replied to ping in ');
    expect(await refusal(['device', 'call', 'd1', 'reboot'])).toEqual({
      ...{ code: 'AIOT_COMMAND_FAILED', exit: 1 },
      message: 'd1: AIOT_DEVICE_BUSY not now',
    });
    const { stdout } = await runCli([
      'device',
      'provision',
      'd2',
      '--type',
      'virtual',
      '--out',
      join(own.folder, 'd2'),
    ]);
    // The flags depend on the working folder, which may contain a project of another test.
    expect(stdout).toContain(simulateCommand(join(own.folder, 'd2'), await suitableSource()));
    expect(await refusal(['device', 'call', 'd2', 'ping'])).toMatchObject({ code: 'AIOT_DEVICE_OFFLINE' });
    expect(await refusal(['device', 'call', 'd1', 'dance'])).toMatchObject({
      ...{ code: 'AIOT_COMMAND_UNKNOWN', exit: 2 },
      message: 'd1 (type virtual): expected one of ping, status, reboot, log-level, crash, got dance',
    });
    expect((await refusal(['device', 'call', 'd1', 'pign'])).message).toMatch(
      /got pign\. Did you mean ping\?$/,
    );
  });
});

describe('the log lines of many devices', () => {
  it('are searched by level, text and devices, one page at a time', async () => {
    await runCli(['device', 'provision', 'd2', '--type', 'virtual', '--out', join(own.folder, 'd2')]);
    const second = await fakeDevice(own.mqtts, join(own.folder, 'd2'), 'd2');
    const t = Date.now();
    const lines = [
      ['warn', 'Wi-Fi is weak'],
      ['info', 'wi-fi is back'],
      ['error', 'no sensor'],
    ] as const;
    try {
      for (const { client, name } of [device, second])
        for (const [level, message] of lines)
          await client.publishAsync(`aiot/v1/${name}/log`, JSON.stringify({ t, level, message, rssi: -80 }), {
            qos: 1,
          });
      const logs = (...flags: string[]) => ok(logPageSchema, ['device', 'logs', ...flags]);
      const found = await logs('--level', 'warn', '--contains', 'WI-FI');
      expect(found).toMatchObject({
        lines: ['d2', 'd1'].map((name) => ({
          ...{ device: name, level: 'warn', message: 'Wi-Fi is weak', fields: { rssi: -80 } },
        })),
        next: null,
      });
      expect((await logs('--selector', 'd2')).lines.map(({ message }) => message)).toEqual(
        lines.map(([, message]) => message).reverse(),
      );
      const first = await logs('--contains', 'wi-fi', '--limit', '3');
      const rest = await logs('--contains', 'wi-fi', '--after', first.next ?? '');
      expect([...first.lines, ...rest.lines].map(({ device }) => device)).toEqual(['d2', 'd2', 'd1', 'd1']);
      const old = await logs('--until', '30m');
      expect(old.lines).toEqual([]);
      const between = await logs(
        ...['--contains', 'wi-fi'],
        ...['--since', new Date(Date.now() - 600_000).toISOString()],
        ...['--until', new Date(Date.now() + 60_000).toISOString()],
      );
      expect(between.lines).toHaveLength(4);
      const { stdout } = await runCli(['device', 'logs', '--level', 'error']);
      expect(stdout).toMatch(/d2 +error +no sensor/);
    } finally {
      await second.client.endAsync(true);
    }
  });

  it.each([
    [['d1', '--level', 'warn'], 'use --selector instead of the name'],
    [['--channel', 'reply'], '--channel needs the name of a device'],
    [['--follow', '--after', '7'], 'give one of the two'],
    [['--follow', '--until', '5m'], '--until ends before now'],
    [['--until', '2h'], '--until must be after --since'],
    [['--until', '1h', '--since', '1h'], '--until must be after --since'],
    [['--since', '2026-01-02T00:00Z', '--until', '2026-01-01'], '--until must be after --since'],
    [['--since', '2026-13-01'], '--since: expected an age such as 30m, or a time such as'],
    [['--until', '2026-01-01T10:00'], '--until: expected an age such as 30m, or a time such as'],
    [['d1', '--until', '5m'], 'use --selector instead of the name'],
    [['d1', '--follow', '--channel', 'reply'], '--follow shows log lines, not the channel reply'],
    [['d1', '--follow', '--selector', 'd2'], 'use --selector instead of the name'],
    [['--follow', '--selector', 'type<<3'], 'the selector'],
    [['--after', 'x'], 'expected the `next` value of a page of log lines'],
    [['--selector', 'type<<3'], 'the selector'],
  ])('cannot be searched with %j', async (flags, message) => {
    expect((await refusal(['device', 'logs', ...flags])).message).toContain(message);
  });

  it('are read in parts, so that a search in a large fleet neither takes much memory nor blocks for long', async () => {
    const at = Date.now();
    let read = 0;
    const telemetry: Pick<Telemetry, 'logs'> = {
      async logs({ after = '1000000', limit }) {
        read += limit;
        expect(limit).toBeLessThanOrEqual(500);
        return Array.from({ length: limit }, (_, i) => ({
          position: String(Number(after) - i - 1),
          entry: {
            ...{ at, device: `sim-${i % 1000}`, channel: 'log' as const },
            payload: { t: at, level: 'info', message: `line ${i}` },
          },
        }));
      },
    };
    const query = { limit: 100, level: 'debug' as const };
    const none = await searchLogs(telemetry, { ...query, contains: 'absent' }, undefined, at);
    expect(none).toEqual({ lines: [], next: '980000' });
    expect(read).toBe(20_000);
    // Lines that arrived after the end are skipped by the store.
    const ends: unknown[] = [];
    const seeking: Pick<Telemetry, 'logs'> = {
      async logs({ until, after }) {
        ends.push([until, after]);
        return [];
      },
    };
    const until = at - 86_400_000;
    await searchLogs(seeking, { ...query, since: until - 1000, until }, undefined, at);
    expect(ends).toEqual([[until + 60_000, undefined]]);
    // Older lines than asked for end the search.
    read = 0;
    const past = await searchLogs(telemetry, { ...query, since: at + 120_000 }, undefined, at);
    expect([past, read]).toEqual([{ lines: [], next: null }, 500]);
    const some = await searchLogs(telemetry, query, new Set(['sim-7']), at);
    expect(some.lines).toHaveLength(40);
    expect(some.lines.every(({ device }) => device === 'sim-7')).toBe(true);
  });
});
