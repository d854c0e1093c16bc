import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { digestOf } from '../../src/lib/core/crypto.js';
import type { Recording } from '../../src/lib/data/types.js';
import { type DeviceEvent, deviceEventSchema } from '../../src/lib/device/events.js';
import { replySchema } from '../../src/lib/device/protocol/control.js';
import { createVirtualDevice } from '../../src/lib/device/virtual/device.js';
import type { VirtualDevice } from '../../src/lib/device/virtual/types.js';
import { signManifest, type UnsignedManifest } from '../../src/lib/formats/manifest/manifest.js';
import { manifestOf } from '../../src/lib/model/publish/push.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { deliveriesOf } from '../../src/lib/stream/message.js';
import { openSink, openSource } from '../../src/lib/stream/open.js';
import { motionBundle, motionSamples } from '../support/motion-bundle.js';
import { fixedPorts, type TestPlatform, testPlatform } from '../support/platform.js';
import { oneWave, rolloutEnd } from '../support/rollout.js';

function recording(id: string, samples = 4000): Recording {
  const rows = motionSamples(samples, 3);
  return {
    id,
    label: 'walking',
    device: null,
    rateHz: 100,
    startedAt: 1_700_000_000_000,
    fields: ['x', 'y', 'z'],
    columns: [0, 1, 2].map((f) => Float64Array.from(rows, (row) => row[f] as number)),
  };
}

describe('a virtual device on a platform', () => {
  let own: TestPlatform;
  let device: VirtualDevice;
  const events: DeviceEvent[] = [];
  const lastReport = () => events.flatMap((e) => (e.event === 'reported' ? [e.reported] : [])).at(-1);

  beforeAll(async () => {
    own = await testPlatform(await fixedPorts());
    const out = join(own.folder, 'wearable-1');
    await mkdir(out, { recursive: true });
    await provisionDevice({ client: own.client, name: 'wearable-1', type: 'virtual', out });
    device = await createVirtualDevice({ identityDir: out, onEvent: (event) => events.push(event) });
    await device.connect();
  });
  afterAll(async () => {
    await device.stop();
    await own.stop();
  });

  /** Pushes a bundle and rolls it out to all devices. Resolves with the device's part of the ended rollout. */
  async function rollOut(bundle: Uint8Array, changes: Partial<UnsignedManifest> = {}) {
    const { client, key } = own;
    await client.blobs.put(digestOf(bundle), bundle);
    const { version, sequence } = await client.models.next('motion');
    const signed = { name: 'motion', version, sequence, issued: Date.now(), expires: null };
    const manifest = { ...manifestOf(bundle, { ...signed, deviceTypes: ['virtual'] }), ...changes };
    await client.models.push('motion', signManifest(manifest, key));
    const { id } = await client.rollouts.start(
      oneWave({ name: 'motion', version, sequence, deadlineMs: 20_000 }),
    );
    const ended = await rolloutEnd(client, id);
    return { sequence, version, device: ended.devices[0] };
  }

  const operator = (topic: string) => ({
    url: `${own.platform.urls.mqtts}/${topic}`,
    options: { ca: own.ca, username: 'operator', password: own.token },
  });

  it('is shown as online', async () => {
    expect(await own.client.devices.get('wearable-1')).toMatchObject({ online: true, state: 'active' });
  });

  it('sends 40 s of samples at once, and all of them are stored unchanged', async () => {
    const take = recording('walking1');
    const result = await device.replay(take, { stream: 'imu', speed: 'max' });
    expect(result).toMatchObject({ samples: 4000, messages: 40, inferences: 0 });
    const { recordings } = await own.client.datasets.get('imu');
    expect(recordings).toMatchObject([
      { id: 'walking1', device: 'wearable-1', samples: 4000, rateHz: 100, duplicates: 0, missing: 0 },
    ]);
    const csv = await own.client.datasets.csv('imu', 'wearable-1', 'walking1');
    const rows = csv.trimEnd().split('\n').slice(1);
    expect(rows.map((row) => row.split(',').map(Number))).toEqual(
      Array.from({ length: 4000 }, (_, i) => take.columns.map((column) => column[i])),
    );
  });

  it('can resend a recording without storing it twice', async () => {
    await device.replay(recording('walking1'), { stream: 'imu', speed: 'max' });
    const { recordings } = await own.client.datasets.get('imu');
    expect(recordings).toMatchObject([{ samples: 4000, duplicates: 40 }]);
  });

  it('cannot predict before it has a model', async () => {
    await expect(
      device.replay(recording('walking1'), { stream: 'imu', speed: 'max', predict: true }),
    ).rejects.toMatchObject({ code: 'AIOT_DEVICE_NO_MODEL' });
  });

  it('installs a model over the air, and reports it', async () => {
    const bundle = motionBundle(1);
    const { device: part, sequence } = await rollOut(bundle);
    expect(part).toMatchObject({ name: 'wearable-1', state: 'committed', step: 'COMMITTED', error: null });
    expect(lastReport()).toMatchObject({
      model: { name: 'motion', version: 1, sequence, digest: digestOf(bundle) },
      golden: { vectors: 3, passed: 3 },
    });
  });

  it('predicts with the model, and the platform counts each prediction', async () => {
    const result = await device.replay(recording('live1'), { stream: 'imu', speed: 'max', predict: true });
    // 4000 samples in windows of 50, one every 25 samples.
    expect(result).toMatchObject({ samples: 4000, messages: 0, inferences: 159 });
    const live = await own.client.models.live('motion', 1);
    expect(live.unlabelled).toBe(159);
    expect(live.latencyMs.p50).toBeGreaterThan(0);
    const inferences = events.flatMap((e) => (e.event === 'inference' ? [e.inference] : []));
    expect(inferences.map(({ window }) => window)).toEqual(Array.from({ length: 159 }, (_, i) => i));
  });

  it('rolls back a model with wrong golden vectors, and predicts with the previous one', async () => {
    const { device: part } = await rollOut(motionBundle(2, 'wrong'));
    expect(part).toMatchObject({ state: 'rolledBack', error: { code: 'AIOT_GOLDEN_MISMATCH' } });
    expect(device.reported.model).toMatchObject({ version: 1, digest: digestOf(motionBundle(1)) });
    const result = await device.replay(recording('live2', 500), {
      stream: 'imu',
      speed: 'max',
      predict: true,
    });
    expect(result.inferences).toBe(19);
  });

  it('responds to known and unknown commands', async () => {
    const { url, options } = operator('aiot/v1/wearable-1/reply');
    const replies = await openSource(url, options);
    const sink = await openSink(operator('').url, options);
    const iterator = deliveriesOf(replies);
    const ask = async (message: object) => {
      const payload = Buffer.from(JSON.stringify(message));
      await sink.write([{ topic: 'aiot/v1/wearable-1/command', payload }]);
      const { value } = await iterator.next();
      value?.ack();
      return replySchema.parse(JSON.parse(String(value?.message.payload)));
    };
    expect(await ask({ id: '1', command: 'ping' })).toMatchObject({ id: '1', ok: true });
    expect(await ask({ id: '2', command: 'status' })).toMatchObject({
      ok: true,
      result: { state: 'ROLLED_BACK', model: { version: 1 } },
    });
    expect(await ask({ id: '3', command: 'dance' })).toMatchObject({
      ok: false,
      error: { code: 'AIOT_COMMAND_UNKNOWN' },
    });
    // There are no replies to expired and repeated commands, so the next reply is for the command after them.
    const silent = [
      { id: '4', command: 'ping', expires: 1 },
      { id: '1', command: 'ping' },
      { command: 'ping' },
    ];
    for (const message of silent) {
      const payload = Buffer.from(JSON.stringify(message));
      await sink.write([{ topic: 'aiot/v1/wearable-1/command', payload }]);
    }
    expect(await ask({ id: '5', command: 'reboot' })).toMatchObject({ id: '5', ok: true });
    await expect.poll(() => events.filter(({ event }) => event === 'booted').length).toBe(2);
    await expect.poll(() => device.online).toBe(true);
    expect(device.reported).toMatchObject({ model: { version: 1 } });
    await sink.close();
    await replies.close();
  });

  it('reconnects automatically after a restart of the platform', async () => {
    await own.restart();
    await expect.poll(() => device.online, { timeout: 10_000 }).toBe(true);
    await device.replay(recording('after', 300), { stream: 'imu', speed: 'max' });
    const { recordings } = await own.client.datasets.get('imu');
    expect(recordings.find(({ id }) => id === 'after')).toMatchObject({ samples: 300 });
  });

  it('reports its uptime, its queue and the reason for its last start', async () => {
    const before = lastReport()?.vitals;
    await device.reboot();
    const { reported } = await own.client.devices.state('wearable-1');
    expect(before?.uptimeMs).toBeGreaterThan(0);
    expect(lastReport()?.vitals).toMatchObject({
      ...{ boot: { reason: 'software' }, queue: { waiting: expect.any(Number), dropped: 0 } },
      uptimeMs: expect.any(Number),
    });
    expect(reported).toMatchObject({ vitals: { queue: { dropped: 0 } } });
  });

  it('reports that it is offline when it is stopped', async () => {
    const { url, options } = operator('aiot/v1/wearable-1/presence');
    await device.stop();
    const presence = await openSource(url, options);
    const { value } = await deliveriesOf(presence).next();
    expect(JSON.parse(String(value?.message.payload))).toMatchObject({ online: false });
    await presence.close();
    await expect.poll(async () => (await own.client.devices.get('wearable-1')).online).toBe(false);
  });

  it('emits events that match the schema', () => {
    for (const event of events) expect(() => deviceEventSchema.parse(event)).not.toThrow();
    expect(new Set(events.map(({ event }) => event))).toContain('sent');
  });
});
