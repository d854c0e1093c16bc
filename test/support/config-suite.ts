import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import type { Deployed } from '../../src/lib/api/rollouts/deploy.js';
import type { SignedRelease } from '../../src/lib/api/rollouts/schema.js';
import { addContext } from '../../src/lib/core/contexts.js';
import type { DeviceEvent } from '../../src/lib/device/events.js';
import type { SimulatedDevice } from '../../src/lib/device/native/device.js';
import type { Reported } from '../../src/lib/device/protocol/messages.js';
import { unpackBundle } from '../../src/lib/model/bundle/pack.js';
import { createPredictor } from '../../src/lib/model/bundle/predictor.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { deliveriesOf } from '../../src/lib/stream/message.js';
import { openSource } from '../../src/lib/stream/open.js';
import { pushTiny } from './bundle.js';
import { runCli } from './cli.js';
import { motionSamples, streamingBundle } from './motion-bundle.js';
import { type TestPlatform, testPlatform } from './platform.js';
import { oneWave, rolloutEnd } from './rollout.js';

export interface ConfiguredDevice extends SimulatedDevice {
  readonly reported: Reported | null;
}

interface Making {
  identityDir: string;
  onEvent: (event: DeviceEvent) => void;
  sensor: { fields: string[]; rateHz: number; samples(): Iterable<number[]> };
}

/** A ramp, so that the mean of two samples identifies them. */
function* ramp(): Generator<number[]> {
  for (let i = 0; ; i++) yield [i];
}

/** Tests for any device that is configured over the air. `make` returns a device that is not connected yet. */
export function configSuite(make: (making: Making) => Promise<ConfiguredDevice>): void {
  let own: TestPlatform;
  let device: ConfiguredDevice;
  const events: DeviceEvent[] = [];
  const reports = () => events.flatMap((event) => (event.event === 'reported' ? [event.reported] : []));

  beforeAll(async () => {
    own = await testPlatform();
    vi.stubEnv('AIOT_CONFIG_DIR', join(own.folder, 'config'));
    const { urls, ca } = own.platform;
    await addContext('own', { url: urls.http, ca, token: own.token }, { use: true });
    await mkdir(join(own.folder, 'config', 'keys'), { recursive: true });
    await writeFile(join(own.folder, 'config', 'keys', 'own.pem'), own.key, { mode: 0o600 });
    const identityDir = join(own.folder, 'pump-1');
    await provisionDevice({ client: own.client, name: 'pump-1', type: 'virtual', out: identityDir });
    const sensor = { fields: ['level'], rateHz: 100, samples: ramp };
    device = await make({ identityDir, sensor, onEvent: (event) => events.push(event) });
    await device.connect();
  }, 600_000);
  afterAll(async () => {
    await device?.stop();
    vi.unstubAllEnvs();
    await own?.stop();
  });

  async function push(config: object, more: string[] = []) {
    const file = join(own.folder, 'pump.json');
    await writeFile(file, JSON.stringify({ spec: 'aiot-config/1', ...config }));
    const pushed = await runCli(['device', 'config', 'push', file, '--name', 'pump', '--json', ...more]);
    expect(pushed).toMatchObject({ code: 0, json: { name: 'pump', file } });
    return (pushed.json as { version: number }).version;
  }
  async function deploy(what: string) {
    const argv = ['--selector', 'name=pump-1', '--json'];
    const { json, code } = await runCli(['device', 'config', 'deploy', what, ...argv]);
    const { devices, releases } = json as Deployed;
    const [release] = releases as SignedRelease[];
    return { code, sequence: release?.sequence, ...devices[0] };
  }
  /** Returns the next `count` messages from the broker, starting with the retained one. */
  const heard = async (channel: string, count: number) => {
    const url = `${own.platform.urls.mqtts}/aiot/v1/pump-1/${channel}`;
    const source = await openSource(url, { ca: own.ca, username: 'operator', password: own.token });
    const messages: Record<string, unknown>[] = [];
    for await (const { message, ack } of deliveriesOf(source)) {
      ack();
      messages.push(JSON.parse(String(message.payload)));
      if (messages.length === count) break;
    }
    await source.close();
    return messages;
  };
  const committed = { code: 0, state: 'committed', error: null };
  const recorded = async (id: string) => {
    const csv = await own.client.datasets.csv('levels', 'pump-1', id);
    return csv.trimEnd().split('\n').slice(1).map(Number);
  };
  const replay = async (id: string, samples: number) => {
    const columns = [Float64Array.from({ length: samples }, (_, i) => i)];
    const take = { id, label: null, device: null, rateHz: 100, startedAt: 1_700_000_000_000 };
    const recording = { ...take, fields: ['level'], columns };
    return await device.replay(recording, { stream: 'levels', speed: 'max' });
  };

  it('is the default before any is deployed', async () => {
    expect(device.reported).toMatchObject({ config: null, state: 'IDLE' });
    expect(await replay('usual', 250)).toMatchObject({ samples: 250, messages: 3 });
    expect(await recorded('usual')).toEqual(Array.from({ length: 250 }, (_, i) => i));
  }, 60_000);

  it('is applied over the air: samples are averaged in pairs, and each message covers half a second', async () => {
    expect(await push({ sampleHz: 50, telemetry: { intervalMs: 500 }, mqtt: { keepAliveS: 7 } })).toBe(1);
    expect(await deploy('pump@1')).toMatchObject({ ...committed, sequence: 1 });
    expect(device.reported).toMatchObject({
      ...{ kind: 'config', state: 'COMMITTED', model: null },
      config: { name: 'pump', version: 1, sequence: 1 },
    });
    expect(await replay('halved', 250)).toMatchObject({ samples: 125, messages: 5 });
    expect(await recorded('halved')).toEqual(Array.from({ length: 125 }, (_, i) => 2 * i + 0.5));
    const { recordings } = await own.client.datasets.get('levels');
    expect(recordings.find(({ id }) => id === 'halved')).toMatchObject({ rateHz: 50, missing: 0 });
    const { stdout } = await runCli(['device', 'show', 'pump-1']);
    expect(stdout).toMatch(/configuration +pump@1 \(sha256:[0-9a-f]{64}\)/);
  }, 60_000);

  it('is reported at each start, and survives a restart', async () => {
    await device.stop();
    device = await remake();
    await device.connect();
    await expect.poll(() => device.reported?.config?.version, { timeout: 10_000 }).toBe(1);
    expect(await replay('again', 100)).toMatchObject({ samples: 50, messages: 2 });
  }, 60_000);

  it('changes during a recording, and is rolled back if the sensor does not support it', async () => {
    const ends = new AbortController();
    const take = device.sense({ stream: 'levels', recordingId: 'live', speed: 1, signal: ends.signal });
    const version = await push({ sampleHz: 30 });
    expect(await deploy(`pump@${version}`)).toMatchObject({
      ...{ code: 1, state: 'rolledBack', error: { code: 'AIOT_CONFIG_UNFIT' } },
    });
    expect(device.reported).toMatchObject({ state: 'ROLLED_BACK', config: { version: 1 } });
    const good = await push({ sampleHz: 25, report: { intervalMs: 1000 } });
    expect(await deploy('pump')).toMatchObject(committed);
    expect(device.reported?.config?.version).toBe(good);
    // The device reports its state periodically, even if nothing has changed.
    const [before, after] = await heard('reported', 2);
    // The device signs a new proof once it has run for a while.
    // Vitals change with time and load: how long the device has run, and how many messages wait.
    const steady = { t: 0, proof: null, vitals: null };
    expect({ ...after, ...steady }).toEqual({ ...before, ...steady });
    type Vitals = { uptimeMs: number; boot: object } | undefined;
    const [vitals, later] = [before?.vitals as Vitals, after?.vitals as Vitals];
    expect(later?.boot).toEqual(vitals?.boot);
    expect(Number(later?.uptimeMs) - Number(vitals?.uptimeMs)).toBeGreaterThan(500);
    expect((after?.t as number) - (before?.t as number)).toBeGreaterThan(500);
    ends.abort();
    await take;
    const values = await recorded('live');
    const steps = values.slice(1).map((value, i) => value - (values[i] as number));
    expect(steps[0]).toBe(2);
    expect(steps.at(-1)).toBe(4);
  }, 60_000);

  it('can be rolled back to an older version, which is signed again', async () => {
    expect(await deploy('pump@1')).toMatchObject({ ...committed, sequence: 4 });
    expect(device.reported?.config).toMatchObject({ version: 1, sequence: 4 });
    expect(await replay('older', 100)).toMatchObject({ samples: 50, messages: 2 });
  }, 60_000);

  it('is listed and shown by version, with the newest version of each name', async () => {
    const list = await runCli(['device', 'config', 'list', '--json']);
    expect(list.json).toMatchObject([{ name: 'pump', versions: 3, latest: { version: 3, sequence: 3 } }]);
    const shown = await runCli(['device', 'config', 'show', 'pump@1', '--json']);
    expect(shown.json).toMatchObject({
      ...{ version: 1, sequence: 4, deviceTypes: expect.arrayContaining(['virtual']) },
      config: { sampleHz: 50, telemetry: { publish: true, intervalMs: 500 }, report: { intervalMs: 0 } },
    });
    const text = await runCli(['device', 'config', 'show', 'pump']);
    expect(text.stdout).toContain('25 Hz');
    expect(text.stdout).toContain('every 1000 ms');
    const missing = await runCli(['device', 'config', 'show', 'pump@9', '--json']);
    expect(missing).toMatchObject({ code: 4, json: { error: { code: 'AIOT_NOT_FOUND' } } });
  }, 60_000);

  it('is rejected before it is pushed if it has an unknown member', async () => {
    const file = join(own.folder, 'bad.json');
    await writeFile(file, '{"spec":"aiot-config/1","sampleHertz":50}');
    const refused = await runCli(['device', 'config', 'push', file, '--name', 'pump', '--json']);
    expect(refused.code).toBe(2);
    expect(refused.json).toMatchObject({ error: { code: 'AIOT_CONFIG_MALFORMED' } });
  }, 60_000);

  it('continues the window and the state of a model when it changes during a recording', async () => {
    const bytes = streamingBundle(10);
    const { version, sequence } = await pushTiny(own.client, own.key, { name: 'motion', bundle: bytes });
    const wanted = oneWave({ name: 'motion', version, sequence, deadlineMs: 60_000 });
    const { id } = await own.client.rollouts.start(wanted);
    // Another rollout to the device would replace this one.
    expect((await rolloutEnd(own.client, id)).devices[0]).toMatchObject({ state: 'committed', error: null });
    const plain = await push({});
    expect(await deploy(`pump@${plain}`)).toMatchObject(committed);
    const samples = motionSamples(1000);
    const recording = {
      ...{ id: 'moved', label: null, device: null, rateHz: 100, startedAt: 1_700_000_000_000 },
      fields: ['x', 'y', 'z'],
      columns: [0, 1, 2].map((f) => Float64Array.from(samples, (sample) => sample[f]!)),
    };
    events.length = 0;
    const replayed = device.replay(recording, { stream: 'imu', speed: 1, predict: true });
    const halves = await push({ telemetry: { intervalMs: 500 } });
    await expect
      .poll(() => events.some(({ event }) => event === 'inference'), { timeout: 10_000 })
      .toBe(true);
    expect(await deploy(`pump@${halves}`)).toMatchObject(committed);
    const early = events.filter(({ event }) => event === 'inference').length;
    const { inferences } = await replayed;
    expect(inferences).toBe(39);
    expect(early).toBeLessThan(inferences);
    const predictor = createPredictor(unpackBundle(bytes));
    const expected = samples.flatMap((sample) => predictor.push(sample) ?? []);
    const got = events.flatMap((event) => (event.event === 'inference' ? [event.inference] : []));
    expect(got.map(({ window, voted }) => [window, voted])).toEqual(
      expected.map(({ window, voted }) => [window, voted]),
    );
    const rounded = (scores: number[]) => scores.map((score) => Math.round(1e6 * score));
    expect(got.map(({ scores }) => rounded(scores))).toEqual(expected.map(({ scores }) => rounded(scores)));
  }, 120_000);

  let remake: () => Promise<ConfiguredDevice>;
  beforeAll(() => {
    const identityDir = join(own.folder, 'pump-1');
    const sensor = { fields: ['level'], rateHz: 100, samples: ramp };
    remake = () => make({ identityDir, sensor, onEvent: (event) => events.push(event) });
    expect(reports().length).toBeGreaterThan(0);
  });
}
