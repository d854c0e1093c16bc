import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { RegistryClient } from '../../src/lib/api/client.js';
import { withClient } from '../../src/lib/api/context.js';
import { digestOf } from '../../src/lib/core/crypto.js';
import { nativeProgram } from '../../src/lib/device/native/build.js';
import { createNativeDevice, type NativeDevice } from '../../src/lib/device/native/device.js';
import { signManifest } from '../../src/lib/formats/manifest/manifest.js';
import { manifestOf } from '../../src/lib/model/publish/push.js';
import { operatorKey } from '../../src/lib/provision/operator-key.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { runCli } from '../support/cli.js';
import { motionBundle } from '../support/motion-bundle.js';
import { describeReal } from '../support/real.js';
import { oneWave, rolloutEnd } from '../support/rollout.js';
import { type UpForTests, upForTests } from '../support/up.js';

describeReal('native', 'a native device after a key rotation', () => {
  let own: UpForTests;
  let program: string;
  let roots: string[];
  const running: NativeDevice[] = [];
  beforeAll(async () => {
    program = await nativeProgram();
    own = await upForTests();
  }, 300_000);
  afterAll(async () => {
    for (const device of running) await device.stop();
    await own.stop();
  });

  async function trust(...argv: string[]) {
    const { code, stderr } = await runCli(['trust', ...argv]);
    expect(code, stderr).toBe(0);
  }

  async function start(client: RegistryClient, name: string) {
    const identityDir = join(own.folder, name);
    await mkdir(identityDir, { recursive: true });
    await provisionDevice({ client, name, type: 'virtual', out: identityDir });
    const device = await createNativeDevice({ identityDir, program });
    running.push(device);
    await device.connect();
  }

  /** Returns the result on the device of a rollout of this seed, signed with this key. */
  async function rollOut(client: RegistryClient, device: string, seed: number, key: string) {
    const bundle = motionBundle(seed);
    await client.blobs.put(digestOf(bundle), bundle);
    const { version, sequence } = await client.models.next('motion');
    const signed = { name: 'motion', version, sequence, issued: Date.now(), expires: null };
    await client.models.push(
      'motion',
      signManifest(manifestOf(bundle, { ...signed, deviceTypes: ['virtual'] }), key),
    );
    const wave = oneWave({
      name: 'motion',
      version,
      sequence,
      selector: `name=${device}`,
      deadlineMs: 60_000,
    });
    const { id } = await client.rollouts.start(wave);
    return (await rolloutEnd(client, id)).devices[0];
  }

  it('accepts the new signing key without reprovisioning, whether it was set up before or after the keys were separated', async () => {
    await withClient('local', async (client) => {
      await start(client, 'before');
      const committed = { state: 'committed', error: null };
      expect(await rollOut(client, 'before', 1, await operatorKey('local'))).toMatchObject(committed);
      const out = join(own.folder, 'offline');
      await trust('init', '--keys', '2', '--threshold', '2', '--out', out);
      roots = (await readdir(out)).flatMap((name) => ['--root-key', join(out, name)]);
      await start(client, 'after');
      expect(await rollOut(client, 'after', 2, await operatorKey('local'))).toMatchObject(committed);
      await trust('rotate', '--yes', '--role', 'targets', ...roots);
      const key = await operatorKey('local');
      expect(await rollOut(client, 'before', 3, key)).toMatchObject(committed);
      expect(await rollOut(client, 'after', 4, key)).toMatchObject(committed);
    });
  }, 60_000);
});
