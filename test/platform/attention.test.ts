import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Agent, request } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createClient, type RegistryClient } from '../../src/lib/api/client.js';
import { clientFor, contextFor } from '../../src/lib/api/context.js';
import { attentionSchema, deviceHealthSchema } from '../../src/lib/api/contract/attention.js';
import { generateKeyPair } from '../../src/lib/core/crypto.js';
import { certificateRequest } from '../../src/lib/provision/certificates.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { runCli } from '../support/cli.js';
import { type FakeDevice, fakeDevice } from '../support/fake-device.js';
import { ok, refusal, type UpForTests, upForTests } from '../support/up.js';

let own: UpForTests;
let client: RegistryClient;
const devices = new Map<string, FakeDevice>();

beforeAll(async () => {
  own = await upForTests();
  client = await clientFor();
  for (const name of ['pump-1', 'pump-2', 'pump-3']) {
    const out = join(own.folder, name);
    await provisionDevice({ client, name, type: 'esp32', out });
    const device = await fakeDevice(own.mqtts, out, name);
    await device.report('IDLE');
    devices.set(name, device);
  }
});
afterAll(async () => {
  for (const { client: connection } of devices.values()) await connection.endAsync(true);
  await client.close();
  await own.stop();
});

const listed = (...flags: string[]) => ok(attentionSchema, ['status', '--attention', ...flags]);
const device = (name: string) => devices.get(name) as FakeDevice;

/** Waits until the devices with these names need attention. */
async function until(names: string[]) {
  return expect
    .poll(async () => (await client.attention.list({ limit: 100 })).devices.map(({ name }) => name), {
      timeout: 10_000,
    })
    .toEqual(names);
}

describe('aiot status --attention', () => {
  it('lists no device if all are well', async () => {
    expect(await listed()).toEqual({
      counts: { failing: 0, silent: 0, degraded: 0, ok: 3, unknown: 0 },
      ...{ quiet: 0, alarms: [], waiting: { count: 0, since: null, devices: [] }, devices: [], next: null },
    });
    expect((await runCli(['status', '--attention'])).stdout).toContain('No device needs attention.');
  });

  it('lists the most urgent device first, with cause, time and next step', async () => {
    await device('pump-1').client.publishAsync('aiot/v1/pump-1/telemetry/flow', 'not JSON', { qos: 1 });
    await device('pump-2').report('IDLE', { vitals: { battery: { percent: 2 } } });
    await until(['pump-2', 'pump-1']);
    const { counts, devices: unwell } = await listed();
    expect(counts).toEqual({ failing: 1, silent: 0, degraded: 1, ok: 1, unknown: 0 });
    expect(unwell.map(({ causes }) => causes.map(({ code }) => code))).toEqual([
      ['battery-empty'],
      ['messages-rejected'],
    ]);
    expect(unwell[1]?.causes[0]).toMatchObject({
      message: expect.stringMatching(
        /^1 message violated the protocol and was not stored; the last one: .*pump-1/,
      ),
      next: expect.stringContaining('aiot device conform --selector pump-1'),
    });
    const { stdout } = await runCli(['status', '--attention']);
    expect(stdout).toMatch(
      /^2 devices need attention\. {2}1 failing, 1 degraded, 1 ok\n\nfailing {2}pump-2 esp32\n {2}its battery is at 2 % \(battery-empty, since/,
    );
    expect((await listed('--limit', '1')).next).toBe('0/pump-2');
  });

  it('is counted in the metrics', async () => {
    const { token } = await contextFor();
    const dispatcher = new Agent({ connect: { ca: readFileSync(own.ca) } });
    const headers = { authorization: `Bearer ${token}` };
    const { body } = await request(`${own.url}/metrics`, { dispatcher, headers });
    const lines = (await body.text()).split('\n').filter((line) => line.startsWith('aiot_devices_health'));
    expect(lines).toEqual([
      'aiot_devices_health{state="failing"} 1',
      'aiot_devices_health{state="silent"} 0',
      'aiot_devices_health{state="degraded"} 1',
      'aiot_devices_health{state="ok"} 1',
      'aiot_devices_health{state="unknown"} 0',
    ]);
    await dispatcher.close();
  });

  it('is in the event log until the device is well', async () => {
    await expect
      .poll(
        async () =>
          (await client.events.page({ types: ['device.unwell'], limit: 10 })).events.map(({ who }) => who),
        { timeout: 10_000 },
      )
      .toEqual(['platform', 'platform']);
    await device('pump-2').report('IDLE', { vitals: { battery: { percent: 90 } } });
    await until(['pump-1']);
    await expect
      .poll(async () => (await client.events.page({ types: ['device.well'], limit: 10 })).events, {
        timeout: 10_000,
      })
      .toMatchObject([{ subject: 'pump-2', data: { after: ['battery-empty'] } }]);
  });
});

describe('devices that wait for approval', () => {
  const metrics = async () => {
    const { token } = await contextFor();
    const dispatcher = new Agent({ connect: { ca: readFileSync(own.ca) } });
    const headers = { authorization: `Bearer ${token}` };
    const { body } = await request(`${own.url}/metrics`, { dispatcher, headers });
    const text = await body.text();
    await dispatcher.close();
    return text.split('\n').filter((line) => line.startsWith('aiot_enrollments'));
  };

  it('are listed, suspicious ones first, and counted in the metrics, until they are decided on', async () => {
    const { key } = await client.batches.create({ name: 'july', type: 'esp32' });
    const anybody = createClient({ url: own.url, ca: readFileSync(own.ca, 'utf8') });
    const csr = () => certificateRequest(generateKeyPair().privatePem, 'any');
    for (const serial of ['A1', 'A2']) await anybody.enrollments.enroll({ key, csr: await csr(), serial });
    await anybody.enrollments.enroll({ key, csr: await csr(), serial: 'A2' }).catch(() => {});
    await anybody.close();
    const { waiting } = await listed();
    expect(waiting).toEqual({
      count: 2,
      since: expect.any(Number),
      devices: [
        {
          ...{ name: 'july-A2', batch: 'july', type: 'esp32', suspicious: true, since: expect.any(Number) },
          message: 'it waits for approval, but another key asked for its serial number',
          next: 'Find out which device is genuine. Then approve it, or refuse it: `aiot device reject july-A2`.',
        },
        {
          ...{ name: 'july-A1', batch: 'july', type: 'esp32', suspicious: false, since: expect.any(Number) },
          ...{ message: 'it waits for approval', next: 'Approve it: `aiot device approve july-A1`.' },
        },
      ],
    });
    expect((await runCli(['status', '--attention'])).stdout).toMatch(
      /\n\nwaiting {2}july-A2 esp32\n {2}it waits for approval, but another key .*\n[\s\S]*\n\nwaiting {2}july-A1 esp32\n {2}it waits for approval \(since .* UTC, now\)\n {2}→ Approve it: `aiot device approve july-A1`\./,
    );
    expect(await metrics()).toEqual([
      'aiot_enrollments{state="waiting"} 2',
      'aiot_enrollments{state="approved"} 0',
      'aiot_enrollments{state="issued"} 0',
      'aiot_enrollments{state="rejected"} 0',
    ]);
    const { token } = await client.tokens.create({ name: 'one', role: 'viewer', selector: 'name=pump-3' });
    const limited = createClient({ url: own.url, ca: readFileSync(own.ca, 'utf8'), token });
    expect((await limited.attention.list({ limit: 10 })).waiting).toEqual({
      count: 0,
      since: null,
      devices: [],
    });
    expect((await limited.status()).warnings.filter(({ about }) => about === 'approval')).toEqual([]);
    await limited.close();
    await client.enrollments.decide({ action: 'reject', names: ['july-A1', 'july-A2'] });
    expect((await listed()).waiting).toEqual({ count: 0, since: null, devices: [] });
  });

  it('have the time of the first request, also if suspicious devices displace that device from the list', async () => {
    const { key } = await client.batches.create({ name: 'august', type: 'esp32' });
    const anybody = createClient({ url: own.url, ca: readFileSync(own.ca, 'utf8') });
    const csr = () => certificateRequest(generateKeyPair().privatePem, 'any');
    const others = Array.from({ length: 20 }, (_, i) => `B${i}`);
    for (const serial of ['A1', ...others])
      await anybody.enrollments.enroll({ key, csr: await csr(), serial });
    for (const serial of others)
      await anybody.enrollments.enroll({ key, csr: await csr(), serial }).catch(() => {});
    await anybody.close();
    const { enrollments } = await client.enrollments.list({ limit: 100, state: 'waiting' });
    const first = enrollments.find(({ name }) => name === 'august-A1');
    const { waiting } = await listed();
    expect(waiting).toMatchObject({ count: 21, since: first?.created });
    expect(waiting.devices.map(({ suspicious }) => suspicious)).toEqual(others.map(() => true));
    const names = enrollments.map(({ name }) => name);
    await client.enrollments.decide({ action: 'reject', names });
  });
});

describe('aiot device ack and snooze', () => {
  it('hides acknowledged problems until the device has another one, and records who did it', async () => {
    const health = await ok(deviceHealthSchema, [
      'device',
      'ack',
      'pump-1',
      '--note',
      'firmware fix is on its way',
    ]);
    expect(health.acknowledged).toMatchObject({
      codes: ['messages-rejected'],
      note: 'firmware fix is on its way',
      who: expect.stringContaining('operator'),
    });
    expect(await listed()).toMatchObject({ quiet: 1, devices: [] });
    expect((await runCli(['status', '--attention', '--all'])).stdout).toContain(
      ': firmware fix is on its way',
    );
    const [entry] = await client.audit.list('pump-1');
    expect(entry).toMatchObject({ action: 'device.acknowledge', detail: { causes: ['messages-rejected'] } });

    await device('pump-1').report('IDLE', { vitals: { queue: { waiting: 3, dropped: 12 } } });
    await until(['pump-1']);
    await runCli(['device', 'ack', 'pump-1']);
    await until([]);
    expect((await ok(deviceHealthSchema, ['device', 'ack', 'pump-1', '--undo'])).acknowledged).toBeNull();
    await until(['pump-1']);
  });

  it('hides a snoozed device until the time is over', async () => {
    const { snoozed } = await ok(deviceHealthSchema, ['device', 'snooze', 'pump-1', '--for', '1h']);
    expect(snoozed?.note).toBeNull();
    expect((await listed()).devices).toEqual([]);
    await ok(deviceHealthSchema, ['device', 'snooze', 'pump-1', '--for', '1s']);
    await until(['pump-1']);
  });

  it('rejects an unknown device, and a device without a problem', async () => {
    expect(await refusal(['device', 'ack', 'pump-9'])).toMatchObject({ code: 'AIOT_NOT_FOUND', exit: 4 });
    expect(await refusal(['device', 'ack', 'pump-3'])).toMatchObject({
      code: 'AIOT_REQUEST_INVALID',
      message: 'pump-3 has no problem to acknowledge',
    });
    expect(await refusal(['device', 'snooze', 'pump-3', '--for', '400d'])).toMatchObject({
      ...{ code: 'AIOT_USAGE', exit: 2, message: '--for: expected at most 90d, got "400d"' },
    });
    expect(await refusal(['device', 'snooze', 'pump-3', '--for', '1ms'])).toMatchObject({
      message: '--for: expected at least 1s, got "1ms"',
    });
  });
});
