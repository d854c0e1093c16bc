import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { alarmSchema } from '../../src/lib/api/contract/alarms.js';
import { attentionSchema } from '../../src/lib/api/contract/attention.js';
import { deviceReplySchema } from '../../src/lib/api/contract/commands.js';
import { crashListSchema } from '../../src/lib/api/contract/crashes.js';
import { auditVerifiedSchema } from '../../src/lib/api/events/audit.js';
import { writeContexts } from '../../src/lib/core/contexts.js';
import type { DeviceEvent } from '../../src/lib/device/events.js';
import { createVirtualDevice } from '../../src/lib/device/virtual/device.js';
import type { VirtualDevice } from '../../src/lib/device/virtual/types.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { root } from '../support/cli.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';

let own: TestPlatform;
let device: VirtualDevice;
const seen: DeviceEvent[] = [];
const booted = () => seen.filter(({ event }) => event === 'booted').length;

beforeAll(async () => {
  own = await testPlatform();
  const lab = { url: own.platform.urls.http, ca: own.platform.ca, token: own.token };
  await writeContexts({ current: 'lab', contexts: { lab } }, join(own.folder, 'config'));
  // The lines contain this name literally.
  const identityDir = join(own.folder, 'NAME');
  await provisionDevice({ client: own.client, name: 'NAME', type: 'virtual', out: identityDir });
  device = await createVirtualDevice({
    identityDir,
    vitals: () => ({ battery: { percent: 2 } }),
    onEvent: (event) => seen.push(event),
  });
  await device.connect();
});
afterAll(async () => {
  await device?.stop();
  await own?.stop();
});

/** Runs a line in a shell, in a clone of the project, and returns the single line of JSON that it prints. */
async function typed(line: string): Promise<unknown> {
  const env = { ...process.env, AIOT_CONFIG_DIR: join(own.folder, 'config') };
  const { stdout, stderr, code } = await new Promise<{ stdout: string; stderr: string; code: number | null }>(
    (resolve) => {
      const child = execFile('sh', ['-c', line], { cwd: root, env }, (_error, stdout, stderr) =>
        resolve({ stdout, stderr, code: child.exitCode }),
      );
    },
  );
  expect(code, stdout + stderr).toBe(0);
  expect(stdout.trimEnd().split('\n')).toHaveLength(1);
  return JSON.parse(stdout);
}

it('creates an alarm that rises after 10 s above the threshold', async () => {
  const line =
    "bin/run.js alarm create --name hot --where 'temperature > 80' --for 10s --stream motors --json";
  const alarm = alarmSchema.parse(await typed(line));
  expect(alarm).toMatchObject({ name: 'hot', where: 'temperature > 80', forMs: 10_000, stream: 'motors' });
  const startedAt = Date.now() - 60_000;
  await device.replay(
    {
      ...{ id: 'shift', label: null, device: 'NAME', rateHz: 1, fields: ['temperature'], startedAt },
      columns: [Float64Array.from({ length: 12 }, () => 90)],
    },
    { stream: 'motors', speed: 'max' },
  );
  const incidents = async () => (await own.client.alarms.get('hot')).incidents;
  await expect
    .poll(incidents, { timeout: 30_000 })
    .toMatchObject([{ device: 'NAME', since: startedAt, raised: startedAt + 10_000 }]);
});

it('lists the device that needs attention', async () => {
  const listed = async () => (await own.client.attention.list()).devices.length;
  await expect.poll(listed, { timeout: 30_000 }).toBe(1);
  const { devices } = attentionSchema.parse(await typed('bin/run.js status --attention --json'));
  expect(devices).toMatchObject([{ name: 'NAME', state: 'failing', causes: [{ code: 'battery-empty' }] }]);
});

it('restarts the device', async () => {
  const before = booted();
  const reply = deviceReplySchema.parse(await typed('bin/run.js device call NAME reboot --json'));
  expect(reply).toMatchObject({ device: 'NAME', command: 'reboot' });
  await expect.poll(booted, { timeout: 30_000 }).toBe(before + 1);
  await expect.poll(() => device.online, { timeout: 30_000 }).toBe(true);
});

it('lists crashes, grouped by signature', async () => {
  const line = 'bin/run.js device crashes list --json';
  expect(crashListSchema.parse(await typed(line))).toEqual({ groups: [], next: null });
  await own.client.commands.call('NAME', { command: 'crash' }, { limitMs: 30_000 });
  const known = async () => (await own.client.crashes.list()).groups.length;
  await expect.poll(known, { timeout: 30_000 }).toBe(1);
  const { groups } = crashListSchema.parse(await typed(line));
  expect(groups).toMatchObject([{ reason: 'test crash, requested by a command', count: 1 }]);
});

it('verifies the audit log, which contains the changes of the other lines', async () => {
  const { entries, first, since } = auditVerifiedSchema.parse(await typed('bin/run.js audit verify --json'));
  expect([first, since]).toEqual([1, null]);
  expect(entries).toBeGreaterThanOrEqual(4);
  const { events } = await own.client.events.page({ types: ['alarm.create', 'device.call'], limit: 100 });
  expect(events.map(({ type, subject }) => `${type} ${subject}`)).toEqual(
    expect.arrayContaining(['alarm.create hot', 'device.call NAME']),
  );
});
