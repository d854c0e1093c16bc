import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { ModelVersion } from '../../src/lib/api/api.js';
import { deploy } from '../../src/lib/api/rollouts/deploy.js';
import { releaseOf } from '../../src/lib/api/rollouts/release.js';
import type { RolloutNews } from '../../src/lib/api/rollouts/schema.js';
import { digestOf } from '../../src/lib/core/crypto.js';
import { AiotError } from '../../src/lib/core/errors.js';
import { systemClock } from '../../src/lib/core/time.js';
import { activateDevice, makeClaim } from '../../src/lib/provision/claim.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { pushTiny, tinyBundle } from '../support/bundle.js';
import { type FakeDevice, fakeDevice } from '../support/fake-device.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { oneWave, rolloutEnd, rolloutNow } from '../support/rollout.js';

let own: TestPlatform;
let first: ModelVersion;
let second: ModelVersion;
let later = 0;
const clock = { ...systemClock, now: () => Date.now() + later };
const devices: FakeDevice[] = [];
const [a, b] = [() => devices[0] as FakeDevice, () => devices[1] as FakeDevice];
const identity = (name: string) => join(own.folder, name);

async function connectBoth() {
  for (const device of devices.splice(0)) await device.client.endAsync(true);
  for (const name of ['dev-a', 'dev-b']) {
    devices.push(await fakeDevice(own.platform.urls.mqtts, identity(name), name));
  }
}

const running = ({ name, version, sequence, digest }: ModelVersion) => ({ name, version, sequence, digest });
const start = (selector = 'all', model = first) =>
  own.client.rollouts.start(
    oneWave({ name: 'tiny', version: model.version, sequence: model.sequence, selector }),
  );
const now = (id: string) => rolloutNow(own.client, id);

beforeAll(async () => {
  own = await testPlatform({ clock });
  for (const name of ['dev-a', 'dev-b']) {
    await provisionDevice({ client: own.client, name, type: 'virtual', out: identity(name) });
  }
  await provisionDevice({ client: own.client, name: 'chip', type: 'esp32', out: identity('chip') });
  first = await pushTiny(own.client, own.key);
  second = await pushTiny(own.client, own.key, { seed: 1 });
  await connectBoth();
});
afterAll(async () => {
  for (const device of devices) await device.client.endAsync(true);
  await own.stop();
});

it.each([
  ['is provisioned', 'direct'],
  ['claims its certificate', 'claim'],
] as const)(
  'the desired version of a revoked device is not sent to the next device of that name that %s',
  async (_, how) => {
    const old = join(own.folder, `heir-1-${how}`);
    await provisionDevice({ client: own.client, name: 'heir', type: 'virtual', out: old });
    await start('name=heir');
    const before = await fakeDevice(own.platform.urls.mqtts, old, 'heir');
    await before.heard(1);
    await before.report('COMMITTED', { model: running(first) });
    await before.client.endAsync(true);
    await own.client.devices.act('heir', 'revoke');
    const out = join(own.folder, `heir-2-${how}`);
    if (how === 'direct') await provisionDevice({ client: own.client, name: 'heir', type: 'virtual', out });
    else {
      const claim = `${out}.json`;
      const [client, caFile] = [own.client, own.platform.ca];
      await makeClaim({
        client: { ...client, url: own.platform.urls.http },
        caFile,
        out: claim,
        name: 'heir',
        type: 'virtual',
      });
      await activateDevice({ dir: out, claim });
    }
    const after = await fakeDevice(own.platform.urls.mqtts, out, 'heir');
    // The retained message arrives right after the subscription, so the first message received is the current desired version.
    const { id } = await start('name=heir', second);
    expect(await after.heard(1)).toMatchObject({ rollout: id });
    await after.client.endAsync(true);
    await own.client.devices.act('heir', 'revoke');
  },
);

describe('a rollout', () => {
  it('is offered to compatible devices, and can be watched until it ends', async () => {
    const { id } = await start();
    expect((await now(id)).devices.map(({ name, state }) => [name, state])).toEqual([
      ['dev-a', 'offered'],
      ['dev-b', 'offered'],
    ]);
    const seen: RolloutNews[] = [];
    const watched = (async () => {
      for await (const news of own.client.rollouts.watch(id)) seen.push(news);
    })();
    expect(await a().heard(1)).toEqual({
      rollout: id,
      kind: 'model',
      name: 'tiny',
      version: 1,
      sequence: 1,
      manifest: '/api/v1/manifests/1',
    });
    await b().heard(1);
    await vi.waitFor(() => expect(seen).not.toEqual([]), 10_000);
    for (const state of ['DOWNLOADING', 'VERIFYING', 'STAGED', 'TRIAL'] as const) await a().report(state);
    await a().report('COMMITTED', { model: running(first) });
    await b().report('COMMITTED', { model: running(first) });
    await watched;
    expect(seen.at(-1)).toMatchObject({ rollout: { id, state: 'done', waves: [{ committed: 2 }] } });
    const states = seen.flatMap(({ changed }) => changed).filter(({ name }) => name === 'dev-a');
    expect(states[0]).toMatchObject({ state: 'offered' });
    expect(states.at(-1)).toMatchObject({ state: 'committed', step: 'COMMITTED' });
    const [proved] = (await now(id)).devices;
    expect(Object.keys(proved?.times ?? {}).sort()).toEqual([
      'booted',
      'committed',
      'downloaded',
      'offered',
      'verified',
    ]);
    expect(await own.client.devices.get('dev-a')).toMatchObject({
      online: true,
      state: 'active',
      model: { version: 1, digest: first.digest },
      updateState: 'COMMITTED',
    });
  });

  it('ends as partially completed when a device rolls back, and withdraws the offer to that device', async () => {
    const { id } = await start('all', second);
    await a().heard(2);
    await b().heard(2);
    const error = { code: 'AIOT_GOLDEN_FAILED', message: 'vector 0' };
    await a().report('ROLLED_BACK', { model: running(first), error });
    expect(await a().heard(3)).toBeNull();
    await b().report('COMMITTED', { model: running(second) });
    expect(await now(id)).toMatchObject({
      state: 'partly',
      devices: [
        { name: 'dev-a', state: 'rolledBack', error },
        { name: 'dev-b', state: 'committed', error: null },
      ],
    });
    expect(b().desired).toHaveLength(2);
  });

  it('continues after a restart of the platform, and reaches a device that connects later', async () => {
    const { id } = await start('name=dev-a', second);
    await own.restart();
    await connectBoth();
    expect(await a().heard(1)).toMatchObject({ rollout: id, sequence: 2 });
    await a().report('COMMITTED', { model: running(second) });
    expect(await own.client.rollouts.get(id)).toMatchObject({ state: 'done' });
  });

  it('is superseded by a newer one for the same device', async () => {
    const before = await start('name=dev-b', first);
    const after = await start('name=dev-b', first);
    expect(await now(before.id)).toMatchObject({
      state: 'failed',
      devices: [{ state: 'withdrawn', error: { code: 'AIOT_ROLLOUT_SUPERSEDED' } }],
    });
    await b().report('COMMITTED', { rollout: after.id, model: running(first) });
    expect(await now(after.id)).toMatchObject({ state: 'done' });
  });

  it('has nothing to do if all devices already run the version', async () => {
    const heard = b().desired.length;
    const { id, state } = await start('name=dev-b', first);
    expect(state).toBe('done');
    expect((await now(id)).devices).toMatchObject([{ state: 'committed', offers: 0, times: {} }]);
    expect(b().desired).toHaveLength(heard);
  });

  it('fails for a device that has not finished by the deadline', async () => {
    const { id } = await start('name=dev-a', first);
    await a().heard(2);
    later += 601_000;
    expect((await rolloutEnd(own.client, id)).devices[0]).toMatchObject({
      state: 'failed',
      error: { code: 'AIOT_ROLLOUT_DEADLINE' },
    });
  });

  it.each<[string, { version?: number; sequence?: number; selector?: string }, string]>([
    ['an unknown version', { version: 9 }, 'AIOT_REQUEST_INVALID'],
    ['an unknown sequence', { sequence: 99 }, 'AIOT_NOT_FOUND'],
    ['a selector that matches nothing', { selector: 'name=nobody' }, 'AIOT_ROLLOUT_EMPTY'],
    ['devices of another type', { selector: 'type=esp32' }, 'AIOT_ROLLOUT_EMPTY'],
    ['a device that does not exist', { selector: 'nonsense' }, 'AIOT_NOT_FOUND'],
    ['a list with a device that does not exist', { selector: 'dev-a,dev-z' }, 'AIOT_NOT_FOUND'],
    ['a malformed selector', { selector: 'type=' }, 'AIOT_SELECTOR_INVALID'],
  ])('is rejected for %s', async (_, { version = 1, sequence = 1, selector = 'all' }, code) => {
    const request = oneWave({ name: 'tiny', version, sequence, selector });
    await expect(own.client.rollouts.start(request)).rejects.toMatchObject({ code });
  });

  it('lists the types of the selected devices if the release is for others', async () => {
    await expect(
      own.client.rollouts.start(oneWave({ name: 'tiny', version: 1, sequence: 1, selector: 'chip' })),
    ).rejects.toMatchObject({
      code: 'AIOT_ROLLOUT_EMPTY',
      message: '"chip" matches no device of type virtual; it matches only devices of type esp32',
      next: 'To release it for them, push it again: `aiot model push … --types esp32`.',
    });
  });

  it('mentions a similar type if the type of the selected devices is probably misspelled', async () => {
    const out = identity('slip');
    await provisionDevice({ client: own.client, name: 'slip', type: 'vitual', out });
    await expect(start('slip')).rejects.toMatchObject({
      code: 'AIOT_ROLLOUT_EMPTY',
      next: 'To release it for them, push it again: `aiot model push … --types vitual`. If vitual is a misspelling of virtual, remove the device, and provision it again with --type virtual.',
    });
    await own.client.devices.act('slip', 'revoke');
  });

  it('can return to an older version, which is re-signed with the next sequence', async () => {
    const heard = a().desired.length;
    const how = { client: own.client, signingKey: async () => own.key, now: Date.now() };
    const release = await releaseOf(how, 'model', { name: 'tiny', version: 1 });
    const deployed = deploy({ client: own.client, release, selector: 'name=dev-a' });
    const desired = await a().heard(heard + 1);
    expect(desired).toMatchObject({ version: 1, sequence: 3 });
    await a().report('COMMITTED', { model: { ...running(first), sequence: 3 } });
    expect(await deployed).toMatchObject({ state: 'done', releases: [{ sequence: 3 }] });
    expect((await own.client.models.get('tiny', 1)).sequence).toBe(3);
  });

  it('continues when the waiting command is interrupted, which the error states', async () => {
    const heard = a().desired.length;
    const stop = new AbortController();
    let started = '';
    const how = { client: own.client, signingKey: async () => own.key, now: Date.now() };
    const release = await releaseOf(how, 'model', { name: 'tiny', version: 2 });
    const deployed = deploy({
      client: own.client,
      release,
      selector: 'name=dev-a',
      signal: stop.signal,
      onStarted: ({ id }) => {
        started = id;
      },
    });
    const caught = deployed.catch((error: unknown) => error);
    await a().heard(heard + 1);
    stop.abort(new AiotError('AIOT_INTERRUPTED', 'stopped'));
    expect(await caught).toMatchObject({
      code: 'AIOT_INTERRUPTED',
      exit: 130,
      message: `the rollout ${started} continues on the platform`,
      next: `To follow it again, run \`aiot rollout watch ${started}\`.`,
    });
    expect((await own.client.rollouts.get(started)).state).toBe('running');
    await a().report('COMMITTED', { model: { ...running(second), sequence: release.sequence } });
    await expect.poll(async () => (await own.client.rollouts.get(started)).state).toBe('done');
  });
});

describe('a model', () => {
  it('gets a card generated from its bundle', async () => {
    expect(await own.client.models.get('tiny', 2)).toMatchObject({
      version: 2,
      digest: digestOf(tinyBundle('tiny', 1)),
      classes: ['resting', 'walking'],
      lineage: { dataset: { name: 'imu', recordings: 4 } },
    });
    expect(await own.client.models.list()).toMatchObject([
      { name: 'tiny', versions: 2, latest: { version: 2 } },
    ]);
    expect((await own.client.models.versions('tiny')).map(({ version }) => version)).toEqual([2, 1]);
  });

  it.each([
    ['a version that is not the next', { version: 7 }, 'AIOT_VERSION_CONFLICT'],
    ['a sequence that is not the next', { sequence: 1 }, 'AIOT_VERSION_CONFLICT'],
    ['another name', { name: 'other' }, 'AIOT_REQUEST_INVALID'],
    ['firmware', { kind: 'firmware' as const }, 'AIOT_REQUEST_INVALID'],
    ['a missing blob', { artifacts: [{ name: 'm', digest: digestOf('x'), bytes: 1 }] }, 'AIOT_NOT_FOUND'],
    [
      'a size other than the blob’s',
      { artifacts: [{ name: 'm', digest: digestOf(tinyBundle()), bytes: 1 }] },
      'AIOT_DIGEST_MISMATCH',
    ],
  ])('is rejected with %s', async (_, change, code) => {
    const pushed = pushTiny(own.client, own.key, { change: (manifest) => ({ ...manifest, ...change }) });
    await expect(pushed).rejects.toMatchObject({ code });
    expect((await own.client.models.versions('tiny')).length).toBe(2);
  });

  it('is rejected if another key signed it', async () => {
    const { generateKeyPair } = await import('../../src/lib/core/crypto.js');
    await expect(pushTiny(own.client, generateKeyPair().privatePem)).rejects.toMatchObject({
      code: 'AIOT_SIGNATURE_INVALID',
      exit: 5,
    });
  });

  it('is rejected if its bundle is malformed', async () => {
    const bytes = Buffer.from('not a bundle');
    await own.client.blobs.put(digestOf(bytes), bytes);
    const artifacts = [{ name: 'm', digest: digestOf(bytes), bytes: bytes.length }];
    await expect(
      pushTiny(own.client, own.key, { change: (manifest) => ({ ...manifest, artifacts }) }),
    ).rejects.toMatchObject({ code: 'AIOT_BUNDLE_MALFORMED' });
  });
});

describe('live metrics', () => {
  it('compare inferences with labels of recordings without telemetry, whenever the labels arrive', async () => {
    const say = (seq: number, recording: string, label: string) =>
      a().client.publishAsync(
        'aiot/v1/dev-a/inference',
        JSON.stringify({
          ...{ seq, t: 1000 + seq, model: { name: 'tiny', version: 1 }, recording, window: seq },
          ...{ label, voted: label, scores: [1, 0], latencyMs: 2 },
        }),
        { qos: 1 },
      );
    for (const seq of [0, 1, 1, 2]) await say(seq, 'r1', seq === 2 ? 'walking' : 'resting');
    expect(await own.client.models.live('tiny', 1)).toMatchObject({ windows: 0, unlabelled: 3 });
    const unheard = { stream: 'imu', device: 'dev-a', recording: 'r2', label: 'walking' };
    await expect(own.client.labels.post(unheard)).rejects.toMatchObject({ code: 'AIOT_NOT_FOUND' });
    await own.client.labels.post({ stream: 'imu', device: 'dev-a', recording: 'r1', label: 'walking' });
    await own.client.labels.post({ stream: 'imu', device: 'dev-a', recording: 'r1', label: 'sit' });
    const figures = {
      windows: 3,
      unlabelled: 0,
      confusion: [
        [2, 1],
        [0, 0],
      ],
      devices: { 'dev-a': 3 },
    };
    expect(await own.client.models.live('tiny', 1)).toMatchObject(figures);
    await own.restart();
    expect(await own.client.models.live('tiny', 1)).toMatchObject(figures);
  });
});
