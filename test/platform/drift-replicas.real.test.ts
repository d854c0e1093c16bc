import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createClient, type RegistryClient } from '../../src/lib/api/client.js';
import { deviceHealthSchema } from '../../src/lib/api/contract/attention.js';
import { generateKeyPair, publicKeyOf } from '../../src/lib/core/crypto.js';
import { trustRootOf } from '../../src/lib/formats/manifest/envelope.js';
import type { Platform } from '../../src/lib/platform/options.js';
import { startPlatform } from '../../src/lib/platform/start.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { pushTiny } from '../support/bundle.js';
import { bundleWithReference, samples, swapped } from '../support/drift-signal.js';
import { type FakeDevice, fakeDevice } from '../support/fake-device.js';
import { type Postgres, startPostgres } from '../support/postgres.js';
import { describeReal } from '../support/real.js';
import { type S3Server, startVersitygw } from '../support/s3.js';

interface Replica {
  platform: Platform;
  client: RegistryClient;
}

const driftWithReplicas = () => {
  let postgres: Postgres;
  let s3: S3Server;
  let folder: string;
  let token = '';
  let digest = '';
  const replicas = new Map<string, Replica>();
  const devices: FakeDevice[] = [];
  const environment = { ...process.env };
  const key = generateKeyPair().privatePem;

  const start = async (name: string, engines: Record<string, string>) => {
    const options = { dataDir: join(folder, name), httpPort: 0, mqttPort: 0, engines, drainMs: 200 };
    const platform = await startPlatform({ ...options, secret: 'shared by all', log: () => {} });
    token ||= platform.token ?? '';
    const ca = await readFile(platform.ca, 'utf8');
    replicas.set(name, { platform, client: createClient({ url: platform.urls.http, ca, token }) });
  };
  const stop = async (name: string) => {
    const { platform, client } = replicas.get(name)!;
    replicas.delete(name);
    await client.close();
    await platform.stop();
  };
  const any = () => [...replicas.values()][0]!;
  /** The name of the replica that compares signals with training data. */
  const leader = async () => {
    const { replicas: known = [] } = await any().client.status();
    const url = known.find(({ leads }) => leads.includes('drift'))?.url;
    return [...replicas].find(([, { platform }]) => platform.urls.http === url)?.[0];
  };
  const connectTo = async (name: string) => {
    const device = await fakeDevice(replicas.get(name)!.platform.urls.mqtts, join(folder, 'pump'), 'pump');
    devices.push(device);
    await device.report('COMMITTED', { model: { name: 'tiny', version: 1, sequence: 1, digest } });
    return device;
  };
  const send = (device: FakeDevice, seed: number, count: number, change = swapped) =>
    device.client.publishAsync(
      'aiot/v1/pump/telemetry/motion',
      JSON.stringify({ rate: 1, ...change(samples(seed, count)) }),
      { qos: 1 },
    );
  const healthAt = async ({ client }: Replica) =>
    deviceHealthSchema.parse(await client.attention.get('pump'));
  const windows = async () => (await healthAt(any())).drift?.windows.length ?? 0;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'aiot-drift-replicas-'));
    [postgres, s3] = await Promise.all([startPostgres(), startVersitygw()]);
    await s3.makeBucket('platform');
    Object.assign(process.env, {
      AWS_ACCESS_KEY_ID: s3.accessKey,
      AWS_SECRET_ACCESS_KEY: s3.secretKey,
    });
    const blobs = `s3://platform/blobs?endpoint=${encodeURIComponent(s3.url)}`;
    const engines = { database: await postgres.database(), blobs };
    for (const name of ['a', 'b', 'c']) await start(name, engines);
    const { client } = any();
    await client.trust.put(trustRootOf(publicKeyOf(key)));
    ({ digest } = await pushTiny(client, key, { bundle: bundleWithReference() }));
    await provisionDevice({ client, name: 'pump', type: 'virtual', out: join(folder, 'pump') });
  }, 90_000);
  afterAll(async () => {
    for (const { client } of devices) await client.endAsync(true);
    for (const name of replicas.keys()) await stop(name);
    await Promise.all([postgres?.stop(), s3?.stop()]);
    process.env = environment;
    await rm(folder, { recursive: true, force: true });
  }, 60_000);

  it('counts each sample once while the replica that counts is stopped in the middle of a window, twice', async () => {
    await expect.poll(leader, { timeout: 30_000 }).toBeTypeOf('string');
    for (const round of [1, 2]) {
      const counting = (await leader())!;
      const elsewhere = [...replicas.keys()].find((name) => name !== counting)!;
      const device = await connectTo(elsewhere);
      if (round === 1) {
        // Counting begins with the messages that follow the first look at the model.
        const begun = async () => {
          await send(device, 1, 1);
          return (await healthAt(any())).drift !== null;
        };
        await expect.poll(begun, { timeout: 30_000, interval: 500 }).toBe(true);
        await send(device, 2, 600);
        await expect.poll(windows, { timeout: 30_000 }).toBe(1);
      }
      await send(device, 10 * round, 300);
      await stop(counting);
      await send(device, 10 * round + 1, 300);
      // A window too many or too few would show that samples were counted twice, or lost.
      await expect.poll(windows, { timeout: 60_000 }).toBe(1 + round);
      await device.client.endAsync(true);
    }
    const { causes } = await healthAt(any());
    expect(causes.map(({ code }) => code)).toContain('drift');
  }, 180_000);
};

describeReal('postgres', 'on PostgreSQL', () =>
  describeReal('versitygw', 'with S3', () =>
    describe('the drift of a signal with three replicas', driftWithReplicas),
  ),
);
