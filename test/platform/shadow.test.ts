import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as z from 'zod';
import type { RegistryClient } from '../../src/lib/api/client.js';
import { clientFor, contextFor } from '../../src/lib/api/context.js';
import {
  rolloutDeviceSchema,
  rolloutPlanSchema,
  rolloutSchema,
  rolloutStatusSchema,
} from '../../src/lib/api/rollouts/schema.js';
import { digestOf } from '../../src/lib/core/crypto.js';
import type { Sensor } from '../../src/lib/device/telemetry/sensor.js';
import { createVirtualDevice } from '../../src/lib/device/virtual/device.js';
import type { VirtualDevice } from '../../src/lib/device/virtual/types.js';
import { signManifest } from '../../src/lib/formats/manifest/manifest.js';
import { packBundle, unpackBundle } from '../../src/lib/model/bundle/pack.js';
import { manifestOf } from '../../src/lib/model/publish/push.js';
import { operatorKey } from '../../src/lib/provision/operator-key.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { runCli } from '../support/cli.js';
import { type FakeDevice, fakeDevice } from '../support/fake-device.js';
import { motionBundle, motionSamples } from '../support/motion-bundle.js';
import { ok, refusal, type UpForTests, upForTests } from '../support/up.js';

let own: UpForTests;
let key: string;
let client: RegistryClient;
/** A device whose sensor feeds its model, one without a sensor, and one that does not support shadows. */
let watch: VirtualDevice;
let still: VirtualDevice;
let old: FakeDevice;
const end = new AbortController();
let sensing: Promise<unknown>;

const walk = motionSamples(2000, 3);
const sensor: Sensor = {
  fields: ['x', 'y', 'z'],
  rateHz: 100,
  *samples() {
    for (let i = 0; ; i = (i + 1) % walk.length) yield walk[i]!;
  },
};

async function push(bundle: Uint8Array, key: string, name = 'motion') {
  await client.blobs.put(digestOf(bundle), bundle);
  const { version, sequence } = await client.models.next(name);
  const about = { name, version, sequence, issued: Date.now(), expires: null };
  const manifest = manifestOf(bundle, { ...about, deviceTypes: ['virtual'] });
  return client.models.push(name, signManifest(manifest, key));
}

beforeAll(async () => {
  own = await upForTests();
  client = await clientFor();
  key = await operatorKey((await contextFor()).name);
  for (const name of ['watch', 'still', 'old', 'liar']) {
    await provisionDevice({ client, name, type: 'virtual', out: join(own.folder, name) });
  }
  watch = await createVirtualDevice({ identityDir: join(own.folder, 'watch'), sensor });
  still = await createVirtualDevice({ identityDir: join(own.folder, 'still') });
  await watch.connect();
  await still.connect();
  old = await fakeDevice(own.mqtts, join(own.folder, 'old'), 'old');
  // Version 2 has the same weights as version 1, stored differently; version 3 has other weights.
  await push(motionBundle(1), key);
  await push(motionBundle(1), key);
  await push(motionBundle(2), key);
  await client.rollouts.start({
    releases: [{ kind: 'model', name: 'motion', version: 1, sequence: 1 }],
    selector: 'name=watch',
  });
  sensing = watch.sense({ stream: 'motion', speed: 30, predict: true, signal: end.signal });
}, 60_000);
afterAll(async () => {
  end.abort();
  await sensing;
  await watch.stop();
  await still.stop();
  await old.client.endAsync(true);
  await client.close();
  await own.stop();
});

const start = (model: string, selector: string, ...more: string[]) => [
  ...['rollout', 'start', '--model', model, '--selector', selector, '--waves', '100%', '--shadow', '2s'],
  ...['--max-latency', '1000x', ...more],
];
const status = rolloutStatusSchema.extend({ devices: z.array(rolloutDeviceSchema) });

describe('a rollout with a shadow', () => {
  it('is rejected if the shadow is shorter than one window of the model', async () => {
    const bundle = unpackBundle(motionBundle(1));
    // The same 50 samples at a twentieth of the rate are a window of 10 s.
    const signal = { ...bundle.info.signal, rateHz: 5, resampleHz: 5 };
    await push(packBundle({ ...bundle, info: { ...bundle.info, name: 'slow', signal } }), key, 'slow');
    const argv = ['rollout', 'plan', '--model', 'slow@1', '--selector', 'name=watch', '--shadow'];
    const short = await refusal([...argv, '3s']);
    expect(short).toMatchObject({ code: 'AIOT_REQUEST_INVALID' });
    expect(short.message).toContain('a shadow of 3 s is shorter than one window of slow@1 (10 s)');
    await ok(rolloutPlanSchema, [...argv, '10s']);
  });

  it('measures the candidate while the active model runs, and then all devices commit', async () => {
    const first = old.desired.length;
    const argv = start('motion@2', 'name in (watch,old)', '--shadow-windows', '40', '--max-heap', '64kB');
    const begun = await ok(rolloutSchema, argv);
    expect(begun.waves).toMatchObject([{ state: 'shadowing', devices: 2, shadow: { passed: false } }]);
    // A device that does not support shadows is asked to commit only once the wave has opened.
    const wish = await old.heard(first + 1);
    expect(wish).not.toHaveProperty('shadow');
    const { waves } = await client.rollouts.get(begun.id);
    expect(waves[0]!.shadow).toMatchObject({ passed: true, devices: 1 });
    const { name, version, sequence } = wish!;
    const digest = digestOf(motionBundle(1));
    await old.report('COMMITTED', { model: { name, version, sequence, digest } });
    const run = await runCli(['rollout', 'watch', begun.id, '--json']);
    expect(run.code, run.stderr).toBe(0);
    const rollout = rolloutSchema.parse(run.json);
    const { figures } = rollout.waves[0]!.shadow!;
    expect(figures).toMatchObject({
      disagreements: 0,
      active: { arenaBytes: 4096 },
      candidate: { arenaBytes: 4096 },
    });
    expect(figures!.windows).toBeGreaterThanOrEqual(40);
    const counted = Object.values(figures!.candidate.labels).reduce((sum, count) => sum + count, 0);
    expect(counted).toBe(figures!.windows);
    expect(figures!.candidate.labels).toEqual(figures!.active.labels);
    const shown = await runCli(['rollout', 'show', begun.id]);
    expect(shown.stdout).toMatch(
      /1 +passed +1 +\d+ +0\.0% +\S+ → \S+, \S+ → \S+ +4,096 → 4,096 +\w+ \d+ → \d+/,
    );
    expect(watch.reported).toMatchObject({ state: 'COMMITTED', model: { version: 2 } });
  });

  it('stops if the predictions differ, before any device has committed', async () => {
    const run = await runCli([
      ...start('motion@3', 'name=watch'),
      '--max-disagreement',
      '1%',
      '--wait',
      '--json',
    ]);
    expect(run.code, run.stdout + run.stderr).toBe(6);
    const rollout = rolloutSchema.parse(run.json);
    expect(rollout).toMatchObject({
      ...{ state: 'paused', reason: { code: 'AIOT_ROLLOUT_SHADOW' } },
      waves: [{ state: 'stopped', committed: 0, shadow: { passed: false, devices: 1 } }],
    });
    expect(rollout.reason!.message).toMatch(/% of the predictions differ; expected at most 1%/);
    await watch.settled();
    expect(watch.reported).toMatchObject({ model: { version: 2 } });
    const told = await ok(status, ['rollout', 'show', rollout.id, '--state', 'pending']);
    expect(told.devices).toMatchObject([{ name: 'watch', shadow: { windows: expect.any(Number) } }]);
    // An operator has seen the metrics, and nevertheless continues.
    await ok(rolloutSchema, ['rollout', 'resume', rollout.id]);
    const all = await runCli(['rollout', 'watch', rollout.id, '--json']);
    expect(all.code, all.stderr).toBe(0);
    expect(watch.reported).toMatchObject({ state: 'COMMITTED', model: { version: 3 } });
  });

  it('stops if no device has measured enough', async () => {
    const run = await runCli([...start('motion@1', 'name=still'), '--wait', '--json']);
    expect(run.code, run.stdout + run.stderr).toBe(6);
    const rollout = rolloutSchema.parse(run.json);
    expect(rollout.reason).toMatchObject({ code: 'AIOT_ROLLOUT_SHADOW' });
    expect(rollout.reason!.message).toContain('too few to compare');
    await ok(rolloutSchema, ['rollout', 'abort', rollout.id]);
  });

  it('counts a device as failed if it commits a version that it should only run as a shadow', async () => {
    const liar = await fakeDevice(own.mqtts, join(own.folder, 'liar'), 'liar');
    await liar.report('IDLE', { features: ['shadow'] });
    const { id } = await ok(rolloutSchema, start('motion@1', 'name=liar', '--max-failures', '100%'));
    const { name, version, sequence, shadow } = (await liar.heard(1))!;
    expect(shadow).toEqual({ everyMs: 250 });
    const digest = digestOf(motionBundle(1));
    await liar.report('COMMITTED', { model: { name, version, sequence, digest }, features: ['shadow'] });
    const [device] = await client.rollouts.devices(id);
    expect(device).toMatchObject({ state: 'failed', error: { code: 'AIOT_ROLLOUT_MISREPORTED' } });
    await liar.client.endAsync(true);
  });

  it('requires a single model, and rejects limits that are invalid or lack a shadow', async () => {
    const releases = [1, 2].map((version) => ({
      ...{ kind: 'model' as const, name: 'motion', version, sequence: version },
    }));
    const policy = { shadow: { ms: 1000 } };
    await expect(client.rollouts.start({ releases, selector: 'all', policy })).rejects.toMatchObject({
      code: 'AIOT_REQUEST_INVALID',
    });
    const without = [
      'rollout',
      'start',
      '--model',
      'motion@1',
      '--selector',
      'all',
      '--max-disagreement',
      '1%',
    ];
    expect(await refusal(without)).toMatchObject({ code: 'AIOT_USAGE' });
    expect(await refusal(start('motion@1', 'all', '--max-latency', 'slow'))).toMatchObject({
      code: 'AIOT_USAGE',
    });
  });
});
