import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ModelVersion } from '../../src/lib/api/api.js';
import { digestOf } from '../../src/lib/core/crypto.js';
import { openBlobs } from '../../src/lib/platform/blobs/folder.js';
import { eventsIn } from '../../src/lib/platform/events/events.js';
import { Models } from '../../src/lib/platform/releases/models.js';
import { trustIn } from '../../src/lib/platform/releases/trust.js';
import { openStore } from '../../src/lib/platform/store/database.js';
import { localTurns } from '../../src/lib/platform/store/engine.js';
import { migrations } from '../../src/lib/platform/store/migrations.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { pushTiny, tinyBundle } from '../support/bundle.js';
import { type FakeDevice, fakeDevice } from '../support/fake-device.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { oneWave } from '../support/rollout.js';

let own: TestPlatform;
let device: FakeDevice;

beforeAll(async () => {
  own = await testPlatform();
  const out = join(own.folder, 'dev');
  await provisionDevice({ client: own.client, name: 'dev', type: 'virtual', out });
  device = await fakeDevice(own.platform.urls.mqtts, out, 'dev');
});
afterAll(async () => {
  await device.client.endAsync(true);
  await own.stop();
});

/** Rolls a version out to the only device, which ends with the given state. */
async function rollOut(
  { name, version, sequence, digest }: ModelVersion,
  state: 'COMMITTED' | 'ROLLED_BACK',
) {
  const before = device.desired.length;
  const { id } = await own.client.rollouts.start(oneWave({ name, version, sequence }));
  await device.heard(before + 1);
  const error = state === 'COMMITTED' ? null : { code: 'AIOT_GOLDEN_MISMATCH', message: 'no' };
  await device.report(state, {
    error,
    model: state === 'COMMITTED' ? { name, version, sequence, digest } : null,
  });
  await expect.poll(async () => (await own.client.rollouts.get(id)).state).not.toBe('running');
}

describe('promotion', () => {
  it('requires a fully committed rollout for production, and then needs no reason', async () => {
    const card = await pushTiny(own.client, own.key);
    await own.client.models.promote('tiny', 1, { to: 'staging' });
    const promote = () => own.client.models.promote('tiny', 1, { to: 'production' });
    await expect(promote()).rejects.toMatchObject({ code: 'AIOT_GATE_FAILED', exit: 6 });
    await rollOut(card, 'ROLLED_BACK');
    await expect(promote()).rejects.toMatchObject({ code: 'AIOT_GATE_FAILED' });
    await rollOut(card, 'COMMITTED');
    expect(await promote()).toMatchObject({ stage: 'production' });
    expect(await own.client.models.list()).toMatchObject([{ name: 'tiny', production: 1 }]);
    const [promoted] = await own.client.audit.list('tiny@1');
    expect(promoted).toMatchObject({ action: 'model.promote', detail: { gate: 'passed', to: 'production' } });
  });

  it('requires a reason for a version that was below a limit in its evaluation', async () => {
    const { packBundle, unpackBundle } = await import('../../src/lib/model/bundle/pack.js');
    const bundle = unpackBundle(tinyBundle('tiny', 5));
    bundle.info.gates = [{ name: 'macroF1', limit: 0.9, got: 0.5, passed: false }];
    const { version } = await pushTiny(own.client, own.key, { bundle: packBundle(bundle) });
    await expect(own.client.models.promote('tiny', version, { to: 'staging' })).rejects.toMatchObject({
      message: `tiny@${version}: macroF1 0.5 (limit 0.9)`,
    });
    const reason = 'the limit is for another room';
    await own.client.models.promote('tiny', version, { to: 'staging', reason });
    const [entry] = await own.client.audit.list(`tiny@${version}`);
    expect(entry?.detail).toMatchObject({ reason, gate: `tiny@${version}: macroF1 0.5 (limit 0.9)` });
  });
});

describe('a version', () => {
  it('cannot be removed while a device runs it or is due to run it, but can be afterward', async () => {
    const second = await pushTiny(own.client, own.key, { name: 'other' });
    await rollOut(second, 'COMMITTED');
    await expect(own.client.models.remove('other', 1)).rejects.toMatchObject({
      code: 'AIOT_MODEL_IN_USE',
      message: 'other@1 cannot be removed: dev runs it',
      next: expect.stringMatching(/^Deploy another version.*aiot model deploy other@VERSION/),
    });
    const third = await pushTiny(own.client, own.key, { name: 'other', seed: 1 });
    const before = device.desired.length;
    const { version, sequence } = third;
    await own.client.rollouts.start(oneWave({ name: 'other', version, sequence }));
    await device.heard(before + 1);
    await expect(own.client.models.remove('other', 2)).rejects.toMatchObject({
      message: expect.stringMatching(
        /^other@2 cannot be removed: it is assigned to dev, the rollout ro_\w+ is in progress$/,
      ),
    });
    await own.restart();
    await expect(own.client.models.remove('other', 2)).rejects.toMatchObject({ code: 'AIOT_MODEL_IN_USE' });
    await own.client.devices.act('dev', 'revoke');
    expect(await own.client.models.remove('other', 1)).toMatchObject({ blobRemoved: true });
    expect(await own.client.models.remove('other', 2)).toMatchObject({ blobRemoved: true });
    await expect(own.client.models.versions('other')).rejects.toMatchObject({ code: 'AIOT_NOT_FOUND' });
    expect(await own.client.models.next('other')).toMatchObject({ version: 3 });
  });

  it('loses its blob at the next start after an interrupted removal, unless another version uses it', async () => {
    const kept = await pushTiny(own.client, own.key, { name: 'kept', seed: 7 });
    const lost = digestOf(tinyBundle('lost', 8));
    await own.client.blobs.put(lost, tinyBundle('lost', 8));
    await own.platform.stop();
    const store = await openStore(join(own.folder, 'data', 'state.db'));
    for (const digest of [kept.digest, lost])
      await store.insertInto('doomedBlobs').values({ digest }).execute();
    // The version that the blob was stored for was pushed and then removed.
    await store.deleteFrom('blobLeases').execute();
    await store.destroy();
    await own.restart();
    await expect(own.client.blobs.get(lost)).rejects.toMatchObject({ code: 'AIOT_NOT_FOUND' });
    expect((await (await own.client.blobs.get(kept.digest)).bytes()).length).toBe(kept.bytes);
  });

  it('is dropped by an update if its format is obsolete, and its numbers are not reused', async () => {
    const path = join(own.folder, 'old.db');
    const { default: Database } = await import('libsql');
    const database = new Database(path);
    // This is how the first release left the database.
    database.exec(`
      ${migrations[0]};
      INSERT INTO meta (key, value) VALUES ('created', '1');
      INSERT INTO models (name, version, sequence, digest, bytes, pushed, info)
        VALUES ('old', 1, 7, '${digestOf('old')}', 3, 1, '{"spec":"aiot-bundle/1"}');
      INSERT INTO manifests (sequence, name, version, envelope) VALUES (7, 'old', 1, '{}');
      PRAGMA user_version = 1;
    `);
    database.close();
    const store = await openStore(path);
    const events = eventsIn(store, Date.now);
    const blobs = await openBlobs(join(own.folder, 'blobs'));
    const turns = localTurns();
    const trust = trustIn(store, turns, events);
    const models = new Models({ store, blobs, trust, events, turns, now: Date.now });
    await expect(models.get('old', 1)).rejects.toMatchObject({ code: 'AIOT_NOT_FOUND' });
    await expect(models.manifest(7)).rejects.toMatchObject({ code: 'AIOT_NOT_FOUND' });
    expect(await models.next('old')).toEqual({ version: 2, sequence: 8 });
    await store.destroy();
  });
});
