import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { addContext } from '../../src/lib/core/contexts.js';
import { conformitySchema } from '../../src/lib/device/conform/conform.js';
import { nativeProgram } from '../../src/lib/device/native/build.js';
import { createNativeDevice, type NativeDevice } from '../../src/lib/device/native/device.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { deliveriesOf } from '../../src/lib/stream/message.js';
import { openSource } from '../../src/lib/stream/open.js';
import { runCli } from '../support/cli.js';
import { motionSamples } from '../support/motion-bundle.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { push } from '../support/push.js';
import { describeReal } from '../support/real.js';

const rows = motionSamples(20_000, 3);
const walk = {
  ...{ id: 'walk', label: null, device: null, rateHz: 100, startedAt: 1_700_000_000_000 },
  fields: ['x', 'y', 'z'],
  columns: [0, 1, 2].map((f) => Float64Array.from(rows, (row) => row[f] as number)),
};

describeReal('native', 'the firmware’s core as a native device', () => {
  let own: TestPlatform;
  let device: NativeDevice;
  const running: NativeDevice[] = [];

  async function start(name: string, words: string[] = []) {
    const identityDir = join(own.folder, name);
    await mkdir(identityDir, { recursive: true });
    await provisionDevice({ client: own.client, name, type: 'virtual', out: identityDir });
    const started = await createNativeDevice({ identityDir, arguments: words });
    running.push(started);
    await started.connect();
    return started;
  }

  beforeAll(async () => {
    await nativeProgram();
    own = await testPlatform();
    vi.stubEnv('AIOT_CONFIG_DIR', join(own.folder, 'config'));
    const { urls, ca } = own.platform;
    await addContext('own', { url: urls.http, mqtt: urls.mqtts, ca, token: own.token }, { use: true });
    await push(own, 1);
    await push(own, 2);
    await push(own, 3, ['esp32']);
    device = await start('native-1');
  }, 300_000);
  afterAll(async () => {
    vi.unstubAllEnvs();
    for (const one of running) await one.stop();
    await own.stop();
  });

  it('conforms while it sends samples and installs a model', async () => {
    const controller = new AbortController();
    const sent = device
      .replay(walk, { stream: 'walks', speed: 20, telemetry: true, signal: controller.signal })
      .catch(() => {});
    const words = [
      'device',
      'conform',
      '--selector',
      'native-1',
      '--model',
      'motion@2',
      '--for',
      '1s',
      '--json',
    ];
    const { json, code } = await runCli(words);
    controller.abort();
    await sent;
    const { checks } = conformitySchema.parse(json);
    expect(checks.filter(({ state }) => state === 'failed')).toEqual([]);
    expect(code).toBe(0);
    expect(checks.filter(({ state }) => state === 'skipped').map(({ id }) => id)).toEqual([
      'desired-kind',
      'desired-running',
      'manifest-older',
      'payload-inference',
      'inference-seq',
    ]);
    expect(await own.client.devices.get('native-1')).toMatchObject({ model: { name: 'motion', version: 2 } });
  }, 60_000);

  it('conforms in CBOR, and its samples are stored unchanged', async () => {
    const cbor = await start('native-2', ['--cbor']);
    const heard: Buffer[] = [];
    const options = { ca: own.ca, username: 'operator', password: own.token };
    const source = await openSource(`${own.platform.urls.mqtts}/aiot/v1/native-2/#`, options);
    const listening = (async () => {
      for await (const { message } of deliveriesOf(source)) heard.push(Buffer.from(message.payload));
    })();
    const words = [
      'device',
      'conform',
      '--selector',
      'native-2',
      '--model',
      'motion@2',
      '--for',
      '1ms',
      '--json',
    ];
    const { json } = await runCli(words);
    const { checks } = conformitySchema.parse(json);
    expect(checks.filter(({ state }) => state === 'failed')).toEqual([]);
    const take = { ...walk, columns: walk.columns.map((column) => column.subarray(0, 450)) };
    await cbor.replay(take, { stream: 'cbor', speed: 'max', telemetry: true, predict: true });
    await source.close();
    await listening;
    const channels = heard.filter(([first = 0]) => first >> 5 === 5);
    expect(channels.length).toBeGreaterThan(20);
    const { recordings } = await own.client.datasets.get('cbor');
    expect(recordings).toMatchObject([{ id: 'walk', samples: 450, missing: 0, duplicates: 0 }]);
    const csv = await own.client.datasets.csv('cbor', 'native-2', 'walk');
    const stored = csv.trimEnd().split('\n').slice(1);
    expect(stored.map((row) => row.split(',').map(Number))).toEqual(
      Array.from({ length: 450 }, (_, i) => walk.columns.map((column) => column[i])),
    );
    expect((await own.client.models.live('motion', 2)).devices['native-2']).toBeGreaterThan(5);
    expect((await own.client.devices.state('native-2')).reported).toMatchObject({ state: 'COMMITTED' });
  }, 60_000);
});
