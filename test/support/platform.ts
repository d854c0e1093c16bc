import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient, type RegistryClient } from '../../src/lib/api/client.js';
import { generateKeyPair, publicKeyOf } from '../../src/lib/core/crypto.js';
import { readBytes } from '../../src/lib/core/files.js';
import { trustRootOf } from '../../src/lib/formats/manifest/envelope.js';
import type { Platform, PlatformOptions } from '../../src/lib/platform/options.js';
import { startPlatform } from '../../src/lib/platform/start.js';
import { freePort } from './free-port.js';

/** The roles of every platform, sorted. */
export const platformRoles = [
  ...['alarm-notices', 'alarm-targets', 'alarms', 'audit', 'blobs', 'calls', 'crashes', 'drift', 'events'],
  ...['health', 'history'],
  ...[
    'home-assistant',
    'jobs',
    'pipelines',
    'retention',
    'rollouts',
    'scrub',
    'settings',
    'sparkplug',
    'webhooks',
  ],
];

/** The roles of a platform whose replicas share a database, sorted. */
export const replicaRoles = [...platformRoles, 'rollouts-2', 'rollouts-3', 'rollouts-4'].sort();

export interface TestPlatform {
  folder: string;
  platform: Platform;
  client: RegistryClient;
  /** The CA certificate as PEM. */
  ca: string;
  token: string;
  /** The operator's private key as PEM; the public key is in the trust root. */
  key: string;
  /** Restarts the platform in the same folder after it has been stopped. */
  start(options?: Partial<PlatformOptions>): Promise<void>;
  /** Stops the platform, and restarts it in the same folder. */
  restart(options?: Partial<PlatformOptions>): Promise<void>;
  stop(): Promise<void>;
}

/**
 * Ports for a platform that restarts on the same ones, so that its clients can reconnect. No connection on this machine can take them while
 * it is stopped; another process of tests is very unlikely to.
 */
export async function fixedPorts(): Promise<{ httpPort: number; mqttPort: number }> {
  return { httpPort: await freePort(), mqttPort: await freePort() };
}

/** Starts a platform with a trust root on free ports, in its own folder. */
export async function testPlatform(options: Partial<PlatformOptions> = {}): Promise<TestPlatform> {
  const folder = await mkdtemp(join(tmpdir(), 'aiot-platform-'));
  const start = (more: Partial<PlatformOptions> = {}) =>
    startPlatform({ dataDir: join(folder, 'data'), httpPort: 0, mqttPort: 0, ...options, ...more });
  const platform = await start();
  const ca = (await readBytes(platform.ca)).toString('utf8');
  const token = platform.token ?? '';
  const client = createClient({ url: platform.urls.http, ca, token });
  const key = generateKeyPair().privatePem;
  await client.trust.put(trustRootOf(publicKeyOf(key)));
  const own: TestPlatform = {
    folder,
    platform,
    client,
    ca,
    token,
    key,
    async start(more) {
      own.platform = await start(more);
      own.client = createClient({ url: own.platform.urls.http, ca, token });
    },
    async restart(more) {
      await own.client.close();
      await own.platform.stop();
      await own.start(more);
    },
    async stop() {
      await own.client.close();
      await own.platform.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
  return own;
}
