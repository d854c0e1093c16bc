import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RegistryClient } from '../../src/lib/api/client.js';
import { clientFor } from '../../src/lib/api/context.js';
import { crashListSchema, crashShownSchema } from '../../src/lib/api/contract/crashes.js';
import { createVirtualDevice } from '../../src/lib/device/virtual/device.js';
import type { CrashReport } from '../../src/lib/formats/crash.js';
import { crashesPerHour, reportsPerGroup } from '../../src/lib/platform/devices/crashes.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { runCli } from '../support/cli.js';
import { type FakeDevice, fakeDevice } from '../support/fake-device.js';
import { ok, refusal, type UpForTests, upForTests } from '../support/up.js';

let own: UpForTests;
let client: RegistryClient;
const devices = new Map<string, FakeDevice>();
const names = ['pump-1', 'pump-2', 'pump-3', 'pump-4'];

beforeAll(async () => {
  own = await upForTests();
  client = await clientFor();
  for (const name of names) {
    const out = join(own.folder, name);
    await provisionDevice({ client, name, type: 'esp32', out });
    devices.set(name, await fakeDevice(own.mqtts, out, name));
  }
});
afterAll(async () => {
  for (const { client: connection } of devices.values()) await connection.endAsync(true);
  await client.close();
  await own.stop();
});

const crash = (id: string, more: Partial<CrashReport> = {}): CrashReport => ({
  id,
  kind: 'exception',
  reason: 'LoadProhibited at 0x0',
  firmware: { name: 'pump', version: '1.0.0' },
  backtrace: [
    { function: 'sensor_read', file: '/build/main/sensor.c', line: 41 },
    { function: 'app_main', file: '/build/main/main.c', line: 12 },
  ],
  ...more,
});
/** Sends a report in a later millisecond than the one before, because the lists are sorted by time. */
const send = async (name: string, report: object) => {
  await delay(2);
  await devices.get(name)?.client.publishAsync(`aiot/v1/${name}/crash`, JSON.stringify(report), { qos: 1 });
};
const listed = (...flags: string[]) => ok(crashListSchema, ['device', 'crashes', 'list', ...flags]);
const shown = (id: string) => ok(crashShownSchema, ['device', 'crashes', 'show', id]);

describe('aiot device crashes', () => {
  it('has no crashes at first', async () => {
    expect(await listed()).toEqual({ groups: [], next: null });
    const { stdout } = await runCli(['device', 'crashes', 'list']);
    expect(stdout).toContain('No crashes.');
  });

  it('groups crashes with the same calls over devices and versions, and counts a resent report once', async () => {
    await send('pump-1', crash('a'));
    await send('pump-1', crash('a'));
    await send('pump-2', crash('a', { firmware: { name: 'pump', version: '1.1.0' } }));
    await send(
      'pump-2',
      crash('b', { kind: 'watchdog', reason: 'task radio hung for 5000 ms', backtrace: [] }),
    );
    const { groups } = await listed();
    expect(groups).toHaveLength(2);
    expect(groups[0]).toMatchObject({ kind: 'watchdog', count: 1, devices: 1, place: null });
    expect(groups[1]).toMatchObject({
      kind: 'exception',
      reason: 'LoadProhibited at 0x0',
      ...{ count: 2, devices: 2 },
      place: { function: 'sensor_read', file: '/build/main/sensor.c', line: 41 },
      versions: [
        { firmware: 'pump', version: '1.1.0', count: 1, devices: 1 },
        { firmware: 'pump', version: '1.0.0', count: 1, devices: 1 },
      ],
    });
    const { stdout } = await runCli(['device', 'crashes', 'list']);
    expect(stdout).toMatch(/LoadProhibited at 0x0 \(exception\) +sensor_read main\/sensor\.c:41/);
  });

  it('selects by device, version and time, and pages', async () => {
    expect((await listed('--selector', 'pump-1')).groups).toMatchObject([{ count: 1, devices: 1 }]);
    expect((await listed('--selector', 'pump-1,pump-2')).groups).toHaveLength(2);
    expect((await listed('--selector', 'not name=pump-2')).groups).toMatchObject([{ count: 1, devices: 1 }]);
    expect((await listed('--firmware-version', '1.1.0')).groups).toMatchObject([{ count: 1 }]);
    expect((await listed('--selector', 'nobody')).groups).toEqual([]);
    expect((await listed('--since', '1h')).groups).toHaveLength(2);
    const first = await listed('--limit', '1');
    const second = await listed('--limit', '1', '--after', first.next ?? '');
    expect([...first.groups, ...second.groups].map(({ kind }) => kind)).toEqual(['watchdog', 'exception']);
    expect(second.next).toBeNull();
    expect((await refusal(['device', 'crashes', 'list', '--after', 'x'])).code).toBe('AIOT_REQUEST_INVALID');
  });

  it('shows a report with calls, registers, tasks and log, and hides secrets', async () => {
    const report = crash('c', {
      t: 1_795_168_216_492,
      uptimeMs: 65_000,
      task: 'sensor',
      registers: { pc: '0x400d1f22', a0: '0x800d2000' },
      tasks: [{ name: 'radio', backtrace: [{ address: '0x40081234' }] }],
      log: ['wifi password=hunter2', 'reading sensor'],
      details: { heapFree: 5120 },
    });
    await send('pump-3', report);
    const { groups } = await listed('--selector', 'pump-3');
    const { id, device, frames, report: stored, others } = await shown(groups[0]?.signature ?? '');
    expect(device).toBe('pump-3');
    expect(frames[0]).toEqual({
      ...{ address: null, function: 'sensor_read', file: '/build/main/sensor.c', line: 41 },
    });
    expect(stored).toEqual({ ...report, log: ['wifi password=***', 'reading sensor'] });
    expect(others.map((other) => other.device)).toEqual(['pump-2', 'pump-1']);
    expect((await shown(id)).id).toBe(id);
    const { stdout } = await runCli(['device', 'crashes', 'show', id]);
    for (const part of ['#0 sensor_read', 'sensor.c:41', 'pc      0x400d1f22', 'Task radio', 'password=***'])
      expect(stdout).toContain(part);
    expect(stdout).not.toContain('hunter2');
  });

  it('records an event, which reports whether the crash is new', async () => {
    const { events } = await client.events.page({ types: ['device.crash'] });
    expect(events.map(({ subject, data }) => [subject, data.new])).toEqual([
      ['pump-1', true],
      ['pump-2', false],
      ['pump-2', true],
      ['pump-3', false],
    ]);
  });

  it('takes the version from the last report if the crash has none', async () => {
    await devices.get('pump-3')?.report('IDLE', { firmware: { name: 'valve', version: '3.2.1' } });
    await send('pump-3', crash('d', { kind: 'abort', firmware: undefined }));
    const { groups } = await listed('--firmware-version', '3.2.1');
    expect(groups).toMatchObject([{ kind: 'abort', versions: [{ firmware: 'valve', version: '3.2.1' }] }]);
  });

  it('assigns a crash to no version if the report names only a build', async () => {
    const firmware = { name: 'valve', build: '0123abcde' };
    await send('pump-3', crash('other-build', { kind: 'watchdog', firmware }));
    const group = (await listed()).groups.find(({ kind }) => kind === 'watchdog');
    expect(group?.versions).toMatchObject([{ firmware: 'valve', version: null, count: 1 }]);
    const { report } = await shown(group?.signature ?? '');
    expect(report).toMatchObject({ firmware });
  });

  it('stores the newest reports of a group, but counts all', async () => {
    for (let i = 0; i < reportsPerGroup + 5; i++) {
      const name = i % 2 === 0 ? 'pump-1' : 'pump-2';
      await send(name, crash(`many-${i}`, { kind: 'abort', reason: 'assert failed' }));
    }
    const group = (await listed()).groups[0];
    expect(group).toMatchObject({ count: reportsPerGroup + 5 + 1, devices: 3 });
    const { report, others } = await shown(group?.signature ?? '');
    expect(report.id).toBe(`many-${reportsPerGroup + 4}`);
    expect(others).toHaveLength(reportsPerGroup - 1);
  });

  it('stores no more than a number of reports per device and hour, and counts the rest', async () => {
    for (let i = 0; i < crashesPerHour + 7; i++)
      await send('pump-4', crash(`flood-${i}`, { backtrace: [{ function: `f${i}` }] }));
    await send('pump-4', crash('known', { backtrace: [{ function: 'f3' }] }));
    const { groups } = await listed('--selector', 'pump-4', '--limit', '100');
    expect(groups).toHaveLength(crashesPerHour);
    expect(groups.map(({ count }) => count)).toEqual([2, ...Array(crashesPerHour - 1).fill(1)]);
    expect(groups[0]?.place?.function).toBe('f3');
    const { report } = await shown(groups[0]?.signature ?? '');
    expect(report.id).toBe('flood-3');
  });

  it('rejects a malformed or oversized report', async () => {
    const before = await listed('--limit', '1000');
    await send('pump-3', { id: 'e', kind: 'explosion', reason: 'x' });
    await send('pump-3', crash('f', { log: Array.from({ length: 64 }, () => 'x'.repeat(513)) }));
    await send('pump-3', { ...crash('g'), extra: 'x'.repeat(70_000) });
    expect(await listed('--limit', '1000')).toEqual(before);
    await expect
      .poll(async () => (await client.attention.get('pump-3')).causes.map(({ code }) => code), {
        timeout: 30_000,
      })
      .toContain('messages-rejected');
  });

  it('suggests the list for an unknown report', async () => {
    const { code, message } = await refusal(['device', 'crashes', 'show', 'crash_none']);
    expect(code).toBe('AIOT_NOT_FOUND');
    expect(message).toContain('there is no crash report crash_none');
  });
});

it('stores reports of loops, which are sent by HTTPS', async () => {
  expect(
    await client.crashes.send({ device: 'gateway', crash: crash('l', { kind: 'out-of-memory' }) }),
  ).toEqual({
    stored: true,
  });
  expect((await listed('--selector', 'gateway')).groups).toMatchObject([{ kind: 'out-of-memory', count: 1 }]);
});

it('gets the crash of a virtual device after its restart', async () => {
  const out = join(own.folder, 'bench-1');
  await provisionDevice({ client, name: 'bench-1', type: 'virtual', out });
  const device = await createVirtualDevice({ identityDir: out });
  await device.connect();
  try {
    const { code } = await runCli(['device', 'call', 'bench-1', 'crash']);
    expect(code).toBe(0);
    await expect
      .poll(async () => (await listed('--selector', 'bench-1')).groups.length, { timeout: 20_000 })
      .toBe(1);
    const { groups } = await listed('--selector', 'bench-1');
    const { report, frames } = await shown(groups[0]?.signature ?? '');
    expect(report).toMatchObject({ kind: 'exception', task: 'main', firmware: { name: 'virtual' } });
    expect(frames[0]?.file).toMatch(/device\.[jt]s$/);
    expect(frames[0]?.line).toBeGreaterThan(0);
    expect(device.online).toBe(true);
    // The health of the device names the same cause as the report.
    const causes = async () => (await client.attention.get('bench-1')).causes.map(({ message }) => message);
    await expect.poll(causes, { timeout: 10_000 }).toContain('its last restart was a crash of its firmware');
  } finally {
    await device.stop();
  }
});
