import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { addContext } from '../../src/lib/core/contexts.js';
import { conformitySchema } from '../../src/lib/device/conform/conform.js';
import { createVirtualDevice } from '../../src/lib/device/virtual/device.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { runCli } from '../support/cli.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { push } from '../support/push.js';

/** A broker under test, with TLS. */
export interface ConformBroker {
  /** Address for devices. */
  mqtts: string;
  /** Address for the platform. */
  broker: string;
  stop(): Promise<void>;
}

/**
 * Runs the checks of `aiot device conform` on a virtual device, with an update.
 * @param start starts a broker with the server certificate issued by a platform's CA; `file` returns the path of one of the CA's files;
 * absent = the embedded broker
 */
export function conformSuite(start?: (file: (name: string) => string) => Promise<ConformBroker>): void {
  let own: TestPlatform;
  let used: ConformBroker | undefined;
  beforeAll(async () => {
    // The platform's CA issues the server's certificate at the first start.
    own = await testPlatform();
    const file = (name: string) => join(own.folder, 'data', 'pki', name);
    used = await start?.(file);
    vi.stubEnv('AIOT_CONFIG_DIR', join(own.folder, 'config'));
    if (used) {
      const login = await runCli(['stream', 'login', used.mqtts, '--ca', file('ca.crt'), '--json']);
      expect(login.code, login.stdout + login.stderr).toBe(0);
      await own.restart({ engines: { broker: used.broker } });
    }
    const { urls, ca } = own.platform;
    await addContext('own', { url: urls.http, mqtt: urls.mqtts, ca, token: own.token }, { use: true });
    await push(own, 1);
    await push(own, 2);
    await push(own, 3, ['esp32']);
  }, 120_000);
  afterAll(async () => {
    vi.unstubAllEnvs();
    await own?.stop();
    await used?.stop();
  });

  it('conforms to protocol v1, including a complete update', async () => {
    const identityDir = join(own.folder, 'whole');
    await mkdir(identityDir, { recursive: true });
    await provisionDevice({ client: own.client, name: 'whole', type: 'virtual', out: identityDir });
    const device = await createVirtualDevice({ identityDir });
    await device.connect();
    try {
      // The presence arrives through the broker.
      await expect
        .poll(async () => (await own.client.devices.get('whole')).online, { timeout: 20_000 })
        .toBe(true);
      const words = ['device', 'conform', '--selector', 'whole', '--model', 'motion@2', '--for', '1ms'];
      const { json, stdout, stderr } = await runCli([...words, '--json']);
      const result = conformitySchema.safeParse(json);
      expect(result.success, stdout + stderr).toBe(true);
      const checks = result.data?.checks ?? [];
      expect(checks.filter(({ state }) => state === 'failed')).toEqual([]);
      const passed = checks.filter(({ state }) => state === 'passed').map(({ id }) => id);
      // Wills, retained messages, the desired state and the update all passed through the broker.
      expect(passed).toEqual(
        expect.arrayContaining([
          ...['presence-retained', 'presence-goodbye', 'reported-retained', 'desired-withdrawn'],
          ...['update-committed', 'update-states'],
        ]),
      );
      expect(await own.client.devices.get('whole')).toMatchObject({ model: { name: 'motion', version: 2 } });
    } finally {
      await device.stop();
    }
  }, 120_000);
}
