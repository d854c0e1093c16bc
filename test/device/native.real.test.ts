import { existsSync } from 'node:fs';
import { mkdir, readFile, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { digestOf } from '../../src/lib/core/crypto.js';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { systemClock } from '../../src/lib/core/time.js';
import type { Recording } from '../../src/lib/data/types.js';
import type { DeviceEvent } from '../../src/lib/device/events.js';
import { nativeProgram } from '../../src/lib/device/native/build.js';
import { createNativeDevice, type NativeDevice } from '../../src/lib/device/native/device.js';
import { replySchema } from '../../src/lib/device/protocol/control.js';
import { createVirtualDevice } from '../../src/lib/device/virtual/device.js';
import { createFlash } from '../../src/lib/device/virtual/flash.js';
import { flashBytesFor } from '../../src/lib/device/virtual/store.js';
import { signManifest, type UnsignedManifest } from '../../src/lib/formats/manifest/manifest.js';
import { unpackBundle } from '../../src/lib/model/bundle/pack.js';
import { createPredictor } from '../../src/lib/model/bundle/predictor.js';
import { manifestOf } from '../../src/lib/model/publish/push.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { deliveriesOf } from '../../src/lib/stream/message.js';
import { openSink, openSource } from '../../src/lib/stream/open.js';
import { firmwareBundles } from '../support/firmware-bundles.js';
import { motionBundle, motionSamples } from '../support/motion-bundle.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { describeReal } from '../support/real.js';
import { oneWave, rolloutEnd } from '../support/rollout.js';

describeReal('native', 'the native virtual device on a platform', () => {
  let own: TestPlatform;
  let program: string;
  const running: NativeDevice[] = [];

  beforeAll(async () => {
    program = await nativeProgram();
    own = await testPlatform();
  }, 300_000);
  afterEach(async () => {
    for (const device of running.splice(0)) await device.stop();
  });
  afterAll(() => own.stop());

  async function start(name: string) {
    const identityDir = join(own.folder, name);
    await mkdir(identityDir, { recursive: true });
    await provisionDevice({ client: own.client, name, type: 'virtual', out: identityDir });
    const events: DeviceEvent[] = [];
    const onEvent = (event: DeviceEvent) => events.push(event);
    const device = await createNativeDevice({ identityDir, program, onEvent });
    running.push(device);
    await device.connect();
    return { device, events, identityDir };
  }

  async function push(bundle: Uint8Array, changes: Partial<UnsignedManifest> = {}) {
    const { client, key } = own;
    const { name } = unpackBundle(bundle).info;
    await client.blobs.put(digestOf(bundle), bundle);
    const { version, sequence } = await client.models.next(name);
    const signed = { name, version, sequence, issued: Date.now(), expires: null };
    const manifest = { ...manifestOf(bundle, { ...signed, deviceTypes: ['virtual'] }), ...changes };
    await client.models.push(name, signManifest(manifest, key));
    return { name, version, sequence };
  }

  async function rollOut(bundle: Uint8Array, device: string, policy: { soakMs?: number } = {}) {
    const { name, version, sequence } = await push(bundle);
    const selector = `name=${device}`;
    const asked = oneWave({ name, version, sequence, selector, deadlineMs: 60_000 });
    const { id } = await own.client.rollouts.start({ ...asked, policy: { ...asked.policy, ...policy } });
    return (await rolloutEnd(own.client, id)).devices[0];
  }

  it('installs a model over the air, and predicts window for window as the TypeScript device does', async () => {
    const { device, events } = await start('native-1');
    expect(await rollOut(motionBundle(1), device.name)).toMatchObject({ state: 'committed', error: null });
    const recording = walk(1000);
    const sent = await device.replay(recording, { stream: 'motion', speed: 'max', predict: true });
    expect(sent).toMatchObject({ samples: 1000, inferences: 39 });
    const predictor = createPredictor(unpackBundle(motionBundle(1)));
    const expected = motionSamples(1000, 3).flatMap(
      (sample) => predictor.push(Float64Array.from(sample)) ?? [],
    );
    const got = events.flatMap((event) => (event.event === 'inference' ? [event.inference] : []));
    expect(got.map(({ window, label, voted, scores }) => ({ window, label, voted, scores }))).toEqual(
      expected.map(({ window, label, voted, scores }) => ({ window, label, voted, scores: [...scores] })),
    );
    expect((await own.client.models.live('motion', 1)).devices).toEqual({ 'native-1': 39 });
  });

  it('installs decision trees, and predicts exactly as the TypeScript interpreter does', async () => {
    const { bundle, bytes, stream } = firmwareBundles().find(({ name }) => name === 'trees')!;
    const { device, events } = await start('native-trees');
    expect(await rollOut(bytes, device.name)).toMatchObject({ state: 'committed', error: null });
    const columns = [0, 1, 2].map((f) => Float64Array.from(stream, (row) => row[f]!));
    const recording = { ...walk(stream.length), columns };
    const predictor = createPredictor(bundle);
    const expected = stream.flatMap((sample) => predictor.push(sample) ?? []);
    const sent = await device.replay(recording, { stream: 'motion', speed: 'max', predict: true });
    expect(sent).toMatchObject({ samples: stream.length, inferences: expected.length });
    expect(new Set(expected.map(({ label }) => label)).size).toBeGreaterThan(1);
    const got = events.flatMap((event) => (event.event === 'inference' ? [event.inference] : []));
    expect(got.map(({ window, label, voted, scores }) => ({ window, label, voted, scores }))).toEqual(
      expected.map(({ window, label, voted, scores }) => ({ window, label, voted, scores: [...scores] })),
    );
  });

  it('signs the version that it runs, and signs it again at the end of the soak', async () => {
    const { device } = await start('native-signs');
    expect(await rollOut(motionBundle(1), device.name, { soakMs: 1000 })).toMatchObject({
      ...{ state: 'committed', times: { healthy: expect.any(Number) } },
      proof: { state: 'proven', golden: { vectors: 3, passed: 3 }, healthyS: 1, refused: null },
    });
  });

  it('sends samples that are stored unchanged', async () => {
    const { device } = await start('native-2');
    const recording = walk(450);
    const sent = await device.replay(recording, { stream: 'walks', speed: 'max' });
    expect(sent).toMatchObject({ samples: 450, messages: 5, inferences: 0 });
    // Replaying the same recording only produces duplicates.
    await device.replay(recording, { stream: 'walks', speed: 'max' });
    const { recordings } = await own.client.datasets.get('walks');
    expect(recordings).toMatchObject([{ samples: 450, missing: 0, duplicates: 5 }]);
    const csv = await own.client.datasets.csv('walks', 'native-2', 'walking1');
    const rows = csv.trimEnd().split('\n').slice(1);
    expect(rows.map((row) => row.split(',').map(Number))).toEqual(
      Array.from({ length: 450 }, (_, i) => recording.columns.map((column) => column[i])),
    );
  });

  it('rolls back a model with wrong golden vectors, and predicts with the previous one', async () => {
    const { device, events } = await start('native-3');
    expect(await rollOut(motionBundle(1), device.name)).toMatchObject({ state: 'committed' });
    const refused = await rollOut(motionBundle(2, 'wrong'), device.name);
    expect(refused).toMatchObject({ state: 'rolledBack', error: { code: 'AIOT_GOLDEN_MISMATCH' } });
    expect(device.reported).toMatchObject({ state: 'ROLLED_BACK', model: { name: 'motion' } });
    const before = events.length;
    await device.replay(walk(100), { stream: 'motion', speed: 'max', predict: true });
    expect(events.slice(before).filter(({ event }) => event === 'inference')).toHaveLength(3);
  });

  it('finishes an update despite repeated kills, and always boots', async () => {
    const { device, events } = await start('native-4');
    const { version, sequence } = await push(motionBundle(4));
    const selector = 'name=native-4';
    const { id } = await own.client.rollouts.start(
      oneWave({ name: 'motion', version, sequence, selector, deadlineMs: 60_000 }),
    );
    const random = seededRandom(11);
    let kills = 0;
    for (; kills < 8; kills++) {
      await systemClock.sleep(random() * 60);
      await device.kill();
      await device.connect();
    }
    const [ended] = (await rolloutEnd(own.client, id)).devices;
    // Three restarts during its trial also end the update. In both cases, the device runs and reports the result.
    expect(ended?.state === 'committed' || ended?.error?.code === 'AIOT_UPDATE_TRIAL').toBe(true);
    expect(events.filter(({ event }) => event === 'booted')).toHaveLength(kills + 1);
  }, 60_000);

  it('responds to commands, restarts on request, and leaves its flash readable by the TypeScript device', async () => {
    const { device, events, identityDir } = await start('native-5');
    expect(await rollOut(motionBundle(1), device.name)).toMatchObject({ state: 'committed' });
    const options = { ca: own.ca, username: 'operator', password: own.token };
    const broker = own.platform.urls.mqtts;
    const replies = await openSource(`${broker}/aiot/v1/native-5/reply`, options);
    const sink = await openSink(`${broker}/`, options);
    const iterator = deliveriesOf(replies);
    const send = (message: object) =>
      sink.write([{ topic: 'aiot/v1/native-5/command', payload: Buffer.from(JSON.stringify(message)) }]);
    const ask = async (message: object) => {
      await send(message);
      const { value } = await iterator.next();
      value?.ack();
      return replySchema.parse(JSON.parse(String(value?.message.payload)));
    };
    expect(await ask({ id: '1', command: 'ping' })).toMatchObject({ id: '1', ok: true });
    expect(await ask({ id: '2', command: 'status' })).toMatchObject({
      ok: true,
      result: { type: 'virtual', state: 'COMMITTED', model: { name: 'motion' } },
    });
    const unknown = { ok: false, error: { code: 'AIOT_COMMAND_UNKNOWN' } };
    expect(await ask({ id: '3', command: 'dance' })).toMatchObject(unknown);
    // There are no replies to expired commands, repeated ones, and those without an id, so the next reply is for the
    // command after them.
    const silent = [
      { id: '4', command: 'ping', expires: 1 },
      { id: '1', command: 'ping' },
      { command: 'ping' },
    ];
    for (const message of silent) await send(message);
    expect(await ask({ id: '5', command: 'reboot' })).toMatchObject({ id: '5', ok: true });
    await expect.poll(() => events.filter(({ event }) => event === 'online').length).toBe(2);
    await expect.poll(() => device.reported?.vitals?.boot?.reason).toBe('software');
    const { bsize, blocks } = await statfs(identityDir);
    expect(device.reported?.vitals).toMatchObject({
      ...{ disk: { totalBytes: bsize * blocks }, queue: { dropped: 0 }, uptimeMs: expect.any(Number) },
    });
    // The log contains a failed command, and its name looks like a secret.
    const level = { command: 'log-level', args: { level: 'debug' } };
    expect(await ask({ id: '6', ...level })).toMatchObject({ id: '6', ok: true });
    expect(await ask({ id: '7', command: 'password=hunter2' })).toMatchObject(unknown);
    // The launcher starts its program again after a crash.
    const children = `/proc/${device.pid}/task/${device.pid}/children`;
    process.kill(Number((await readFile(children, 'utf8')).trim()), 'SIGSEGV');
    await expect.poll(() => device.reported?.vitals?.boot?.reason, { timeout: 10_000 }).toBe('panic');
    // The program that starts after it reports the crash, once.
    const crashes = async () => (await own.client.crashes.list({ selector: 'native-5' })).groups;
    await expect.poll(async () => (await crashes()).length, { timeout: 10_000 }).toBe(1);
    const [group] = await crashes();
    const { report } = await own.client.crashes.get(group?.signature ?? '');
    expect(report).toMatchObject({
      ...{ kind: 'exception', reason: 'SIGSEGV', t: expect.any(Number) },
      firmware: {
        name: 'aiot-device',
        version: expect.any(String),
        build: expect.stringMatching(/^[0-9a-f]{40}$/),
      },
    });
    expect(report.task).toBe('aiot-device');
    expect(Object.keys(report.registers ?? {}).length).toBeGreaterThanOrEqual(18);
    expect(report.log?.at(-1)).toMatch(/^debug: command password=\*\*\*/);
    expect(report.log).toContain('debug: command log-level: done');
    // The addresses are those of the ELF file: small numbers, unlike the random ones at which it is loaded.
    expect(report.backtrace?.length).toBeGreaterThan(1);
    expect(report.backtrace?.some(({ address = '' }) => Number(address) < 2 ** 24)).toBe(true);
    await expect.poll(() => existsSync(join(identityDir, 'crash.bin'))).toBe(false);
    expect(events.filter(({ event }) => event === 'log')).toMatchObject([
      { code: 'AIOT_MESSAGE_MALFORMED' },
      { message: 'command log-level: done' },
      { message: 'command password=hunter2: failed' },
    ]);
    await sink.close();
    await replies.close();
    const native = device.reported?.model;
    await device.stop();
    const file = join(identityDir, 'flash.bin');
    const flash = createFlash({ bytes: flashBytesFor(1024 ** 2), file });
    const twin = await createVirtualDevice({ identityDir, flash });
    expect(twin.reported.model).toEqual(native);
    await twin.stop();
    flash.close();
  });
});

function walk(samples: number): Recording {
  const rows = motionSamples(samples, 3);
  return {
    ...{ id: 'walking1', label: 'walking', device: null, rateHz: 100, startedAt: 1_700_000_000_000 },
    fields: ['x', 'y', 'z'],
    columns: [0, 1, 2].map((f) => Float64Array.from(rows, (row) => row[f] as number)),
  };
}
