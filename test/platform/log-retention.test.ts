import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createClient } from '../../src/lib/api/client.js';
import { addContext } from '../../src/lib/core/contexts.js';
import { AiotError } from '../../src/lib/core/errors.js';
import { systemClock } from '../../src/lib/core/time.js';
import { LogRetentionService } from '../../src/lib/platform/datasets/log-retention.js';
import { RetentionService } from '../../src/lib/platform/datasets/retention.js';
import type { Events, NewEvent } from '../../src/lib/platform/events/events.js';
import { openTelemetry } from '../../src/lib/platform/journal/sqlite.js';
import type { Telemetry } from '../../src/lib/platform/journal/telemetry.js';
import { openStore, type Store } from '../../src/lib/platform/store/database.js';
import { localTurns } from '../../src/lib/platform/store/engine.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { runCli } from '../support/cli.js';
import { fakeDevice } from '../support/fake-device.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';

const dayMs = 86_400_000;
const day = (n: number) => Date.UTC(2026, 0, 1) + n * dayMs;

describe('the retention of log lines', () => {
  let folder: string;
  let store: Store;
  let telemetry: Telemetry;
  let now: number;
  let recorded: NewEvent[];
  let retention: LogRetentionService;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'aiot-log-retention-'));
    now = day(100) + 3_600_000;
    recorded = [];
    await open();
  });
  afterEach(async () => {
    await close();
    await rm(folder, { recursive: true, force: true });
  });
  const open = async () => {
    store = await openStore(join(folder, 'state.db'));
    telemetry = await openTelemetry({ folder, now: () => now });
    const events = {
      record: async (event: NewEvent) => {
        recorded.push(event);
      },
    } as unknown as Events;
    retention = new LogRetentionService({ store, telemetry, events, turns: localTurns(), now: () => now });
  };
  const close = async () => {
    await telemetry.close();
    await store.destroy();
  };
  const say = (device: string, at: number, t = at, text = 'x') =>
    telemetry.append({
      ...{ at, device, channel: 'log' },
      payload: { t, level: 'info', message: `${device} ${(at - day(0)) / dayMs} ${text}` },
    });
  const left = async () =>
    (await telemetry.logs({ from: 0, limit: 1000 })).map(({ entry }) =>
      String(entry?.payload.message).split(' ').slice(0, 2).join(' '),
    );

  it('is 90 days by default, and removes the lines of a day together, those of devices without a clock too', async () => {
    expect(await retention.get()).toEqual({ days: 90, bytes: null });
    await say('a', day(5));
    await say('a', day(9.25));
    await say('a', day(10.5));
    await say('b', day(9), 5000);
    await say('b', day(99), 6000);
    await telemetry.append({
      ...{ at: day(1), device: 'a', channel: 'telemetry', stream: 's', payload: { t: day(1), x: 1 } },
    });
    const due = { recordings: 3, lines: 3, before: day(10) + 3_600_000 };
    const dry = await retention.run({ dryRun: true }, 'ann');
    expect(dry).toMatchObject({ ...due, freed: 0, dryRun: true });
    expect(dry.bytes).toBeGreaterThan(100);
    expect(await left()).toEqual(['b 99', 'b 9', 'a 10.5', 'a 9.25', 'a 5']);
    expect(recorded).toEqual([]);
    expect(await retention.run({}, 'ann')).toMatchObject({ ...due, bytes: dry.bytes, dryRun: false });
    expect(await left()).toEqual(['b 99', 'a 10.5']);
    expect(recorded).toMatchObject([{ type: 'logs.remove', who: 'ann', data: { recordings: 3, lines: 3 } }]);
    expect(await telemetry.stream('s')).toMatchObject({ messages: 1 });
    // Nothing is left to remove, and nothing is recorded.
    expect(await retention.run({}, 'ann')).toMatchObject({ recordings: 0, lines: 0 });
    expect(recorded).toHaveLength(1);
  });

  it('removes the oldest days until the size fits, but never lines of the current day', async () => {
    await retention.set({ days: null, bytes: 1_000_000 }, 'ann');
    const text = 'x'.repeat(100_000);
    for (const at of [96, 97, 98, 99])
      for (const device of ['a', 'b']) await say(device, day(at), day(at), text);
    for (let i = 0; i < 3; i++) await say('a', day(100) + i, day(100), text);
    // 300 kB of today, and 200 kB of each day before.
    expect(await retention.run({}, 'ann')).toMatchObject({ recordings: 2, lines: 2, before: day(97) });
    expect(new Set((await left()).map((line) => line.split('.')[0]))).toEqual(
      new Set(['a 97', 'b 97', 'a 98', 'b 98', 'a 99', 'b 99', 'a 100']),
    );
    for (let i = 0; i < 12; i++) await say('b', day(100) + i, day(100), text);
    expect(await retention.run({}, 'ann')).toMatchObject({ recordings: 6, before: day(100) });
    expect(await left()).toHaveLength(15);
  });

  it('is the same after a restart, and is not a policy of a stream', async () => {
    await retention.set({ days: 7, bytes: null }, 'ann');
    expect(recorded).toMatchObject([
      { type: 'logs.retention', subject: 'logs', who: 'ann', data: { days: 7, bytes: null } },
    ]);
    await say('a', day(90));
    await close();
    await open();
    expect(await retention.get()).toEqual({ days: 7, bytes: null });
    const parts = { store, telemetry, turns: localTurns(), logs: retention, now: () => now };
    const streams = new RetentionService(
      parts as unknown as ConstructorParameters<typeof RetentionService>[0],
    );
    expect(await streams.list({ limit: 10 })).toEqual({ policies: [], next: null });
    expect(await streams.run({}, 'ann')).toMatchObject({ recordings: [], kept: 0 });
    expect(await left()).toEqual(['a 90']);
    await retention.run({}, 'ann');
    expect(await left()).toEqual([]);
    await retention.set({ days: null, bytes: null }, 'ann');
    await say('a', day(0));
    expect(await retention.run({}, 'ann')).toMatchObject({ recordings: 0, before: 0 });
  });

  it('records removed lines once if it is interrupted before, during or after the removal', async () => {
    for (const device of ['a', 'b', 'c']) await say(device, day(5));
    const { remove } = telemetry;
    const broken = new Error('the disk failed');
    telemetry.remove = async () => {
      throw broken;
    };
    await expect(retention.run({}, 'ann')).rejects.toBe(broken);
    expect(recorded).toEqual([]);
    telemetry.remove = async ([first]) => {
      await remove.call(telemetry, first ? [first] : []);
      throw broken;
    };
    await expect(retention.run({}, 'ann')).rejects.toBe(broken);
    expect(recorded).toMatchObject([{ type: 'logs.remove', data: { recordings: 1, lines: 1 } }]);
    telemetry.remove = remove;
    await retention.run({}, 'ann');
    expect(recorded.map(({ data }) => data?.lines)).toEqual([1, 2]);
    expect(await left()).toEqual([]);
  });

  it('is reported with the failure of telemetry if both fail', async () => {
    const failing = (message: string) => async () => {
      throw new AiotError('AIOT_DISK_FULL', message);
    };
    const streams = new RetentionService({
      logs: { run: failing('no lines') },
    } as unknown as ConstructorParameters<typeof RetentionService>[0]);
    streams.run = failing('no telemetry');
    const { run } = streams.worker();
    await expect(run(new AbortController().signal)).rejects.toMatchObject({
      code: 'AIOT_DISK_FULL',
      message: expect.stringMatching(/no telemetry.*no lines/),
      cause: { errors: [{ message: 'no telemetry' }, { message: 'no lines' }] },
    });
  });
});

describe('aiot data retention --logs', () => {
  let own: TestPlatform;
  let config: string;
  const before = process.env.AIOT_CONFIG_DIR;
  beforeAll(async () => {
    own = await testPlatform();
    config = join(own.folder, 'config');
    process.env.AIOT_CONFIG_DIR = config;
    await use();
  });
  afterAll(async () => {
    if (before === undefined) delete process.env.AIOT_CONFIG_DIR;
    else process.env.AIOT_CONFIG_DIR = before;
    await own.stop();
  });
  const use = () =>
    addContext(
      'own',
      { url: own.platform.urls.http, ca: own.platform.ca, token: own.token },
      { use: true, replace: true },
    );
  const run = (...words: string[]) => runCli(['data', 'retention', ...words]);

  it('shows and sets the limits, and rejects others with the next step', async () => {
    expect((await run()).stdout).toContain('Log lines are kept for 90 days.');
    const { json } = await run('--logs', '--days', '30', '--size', '2GB', '--json');
    expect(json).toEqual({ policies: [], logs: { days: 30, bytes: 2e9 }, removed: null, removedLogs: null });
    expect((await run('--logs')).stdout).toMatch(
      /^Log lines are kept for 30 days, and up to [\d.]+ [GM]i?B\.$/m,
    );
    const small = await run('--logs', '--size', '10kB', '--json');
    expect(small).toMatchObject({ code: 2, json: { error: { code: 'AIOT_REQUEST_INVALID' } } });
    expect(JSON.stringify(small.json)).toContain('1000000');
    expect((await run('--logs', '--days', '0')).code).toBe(2);
    expect((await run('motion', '--logs')).stderr).toContain('a stream or --logs, got both');
    expect((await run('--logs', '--labeled', '--days', '3')).code).toBe(2);
    expect((await run('--days', '3')).stderr).toContain('the name of a stream, or --logs');
    expect((await run('--logs', '--forever')).stdout).toContain('All log lines are kept.');
    const dry = await run('--dry-run', '--json');
    expect(dry.json).toMatchObject({
      logs: { days: null, bytes: null },
      removed: { recordings: [] },
      removedLogs: { lines: 0, dryRun: true },
    });
    const viewer = await own.client.tokens.create({ name: 'reads', role: 'viewer' });
    const client = createClient({ url: own.platform.urls.http, ca: own.ca, token: viewer.token });
    expect(await client.logRetention.get()).toEqual({ days: null, bytes: null });
    const denied = { code: 'AIOT_NOT_ALLOWED' };
    await expect(client.logRetention.set({ days: 3, bytes: null })).rejects.toMatchObject(denied);
    await expect(client.logRetention.run({ dryRun: true })).rejects.toMatchObject(denied);
    await client.close();
  });

  it('asks before it sets new limits and removes what exceeds them, and changes nothing without an answer', async () => {
    const policies = async () => [await own.client.logRetention.get(), await own.client.retention.list()];
    const before = await policies();
    const refused = async (...words: string[]) => {
      const { code, stderr } = await run(...words, '--run');
      expect(await policies()).toEqual(before);
      return { code, stderr: stderr.replaceAll(/\s+/g, ' ') };
    };
    const logs = await refused('--logs', '--days', '1');
    expect(logs.code).toBe(2);
    expect(logs.stderr).toContain(
      'this will keep log lines of all devices only for 1 day, and permanently remove',
    );
    const stream = await refused('motion', '--days', '1', '--size', '2MB', '--labeled');
    expect(stream.code).toBe(2);
    expect(stream.stderr).toMatch(
      /recordings of motion only for 1 day, and up to .*including labeled recordings/,
    );
    expect((await run('--logs', '--size', '2MB', '--run', '--json')).json).toMatchObject({
      error: { code: 'AIOT_USAGE' },
    });
    // A wrong combination is reported without a question.
    expect((await refused('motion', '--logs', '--days', '1')).stderr).toContain(
      'a stream or --logs, got both',
    );
    expect(await policies()).toEqual(before);
    expect((await run('--logs', '--days', '1', '--run', '--yes', '--json')).json).toMatchObject({
      logs: { days: 1, bytes: null },
      removedLogs: { lines: 0, dryRun: false },
    });
    expect((await run('motion', '--days', '1', '--run', '--yes', '--json')).json).toMatchObject({
      policies: [{ stream: 'motion', days: 1 }],
    });
    await own.client.retention.remove('motion');
  });

  it('is applied by a restarted platform without a request, once the lines have expired', async () => {
    await provisionDevice({
      client: own.client,
      name: 'd1',
      type: 'virtual',
      out: join(own.folder, 'd1'),
    });
    const device = await fakeDevice(own.platform.urls.mqtts, join(own.folder, 'd1'), 'd1');
    await device.client.publishAsync(
      'aiot/v1/d1/log',
      JSON.stringify({ t: Date.now(), level: 'warn', message: 'expires' }),
      { qos: 1 },
    );
    await device.client.endAsync(true);
    const lines = async () => (await own.client.devices.logs({ since: 0 })).lines.length;
    await own.client.logRetention.set({ days: 2, bytes: null });
    await own.restart();
    await use();
    expect((await run('--logs', '--dry-run', '--json')).json).toMatchObject({ removedLogs: { lines: 0 } });
    expect(await lines()).toBe(1);
    const later = 4 * dayMs;
    await own.restart({ clock: { ...systemClock, now: () => Date.now() + later } });
    await expect.poll(lines, { timeout: 20_000 }).toBe(0);
    const { events } = await own.client.events.page({ limit: 1000 });
    expect(events.find(({ type }) => type === 'logs.remove')).toMatchObject({
      ...{ who: 'platform', subject: 'logs' },
      data: { recordings: 1, lines: 1 },
    });
  });
});
