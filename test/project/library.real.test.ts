import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { digestOf } from '../../src/lib/core/crypto.js';
import { aiotVersion } from '../../src/lib/core/folders.js';
import { signManifest } from '../../src/lib/formats/manifest/manifest.js';
import { unpackBundle } from '../../src/lib/model/bundle/pack.js';
import { manifestOf } from '../../src/lib/model/publish/push.js';
import { createLibrary } from '../../src/lib/project/firmware/library.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { root } from '../support/cli.js';
import { motionBundle } from '../support/motion-bundle.js';
import { testPlatform } from '../support/platform.js';
import { describeReal, python } from '../support/real.js';
import { oneWave, rolloutEnd } from '../support/rollout.js';

const folder = mkdtempSync(join(tmpdir(), 'aiot-library-real-'));
const dir = join(folder, 'library');
beforeAll(async () => {
  await createLibrary({
    dir,
    name: 'plant-aiot',
    author: 'Plant <fw@plant.example>',
    url: 'https://plant.example/fw',
  });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describeReal('libraries', 'the manifests of the firmware library', () => {
  const script = join(root, 'test', 'support', 'python', 'library_manifests.py');

  it('are valid for PlatformIO', () => {
    const files = ['library.json', 'library.properties'].map((name) => join(dir, name));
    const output = execFileSync(python('libraries'), [script, ...files], { encoding: 'utf8' });
    const [own, arduino] = output
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    const common = { name: 'plant-aiot', version: aiotVersion(), headers: ['aiot.h'], platforms: ['*'] };
    expect(own).toMatchObject({ ...common, license: 'Apache-2.0', frameworks: ['*'] });
    expect(arduino).toMatchObject({ ...common, frameworks: ['arduino'] });
    expect(arduino.authors).toMatchObject([{ name: 'Plant', email: 'fw@plant.example', maintainer: true }]);
    const broken = join(folder, 'library.json');
    writeFileSync(broken, readFileSync(join(dir, 'library.json'), 'utf8').replace('Apache-2.0', 'Mine'));
    expect(spawnSync(python('libraries'), [script, broken]).status).not.toBe(0);
  });

  it("are packed by Espressif's component manager", () => {
    const compote = join(dirname(python('libraries')), 'compote');
    const args = [
      'component',
      'pack',
      '--name',
      'plant-aiot',
      '--project-dir',
      dir,
      '--dest-dir',
      join(folder, 'packed'),
    ];
    execFileSync(compote, args, { env: { ...process.env, IDF_COMPONENT_CHECK_NEW_VERSION: '0' } });
    const packed = join(folder, 'packed', `plant-aiot_${aiotVersion()}.tgz`);
    const names = execFileSync('tar', ['-tzf', packed], { encoding: 'utf8' });
    expect(names).toContain('src/aiot/device.h');
    expect(names).toContain('idf_component.yml');
  }, 60_000);
});

describeReal('native', 'the example of the firmware library', () => {
  const program = join(folder, 'build', 'example');
  beforeAll(() => {
    execFileSync('cmake', ['-S', join(dir, 'extras', 'host'), '-B', join(folder, 'build')]);
    execFileSync('cmake', ['--build', join(folder, 'build'), '--parallel', '2']);
  }, 300_000);

  it('connects, sends telemetry, and installs a model over the air', async () => {
    const own = await testPlatform();
    const { client, key } = own;
    const identity = join(folder, 'sdk-1');
    await provisionDevice({ client, name: 'sdk-1', type: 'sdk', out: identity });
    const running = spawn(program, [identity], { stdio: ['ignore', 'ignore', 'inherit'] });
    const ended = once(running, 'exit');
    try {
      await vi.waitFor(
        async () => {
          expect(await client.devices.get('sdk-1')).toMatchObject({
            ...{ online: true, firmware: '1.0.0' },
            sensor: { stream: 'motor', fields: ['temperature'], rate: 10 },
          });
          const [stream] = await client.datasets.list();
          expect(stream).toMatchObject({ name: 'motor' });
          expect(stream!.samples).toBeGreaterThan(0);
        },
        { timeout: 30_000, interval: 200 },
      );
      const bundle = motionBundle();
      const { name } = unpackBundle(bundle).info;
      await client.blobs.put(digestOf(bundle), bundle);
      const next = await client.models.next(name);
      const release = { name, ...next, issued: Date.now(), expires: null, deviceTypes: ['sdk'] };
      await client.models.push(name, signManifest(manifestOf(bundle, release), key));
      const { id } = await client.rollouts.start(oneWave({ name, ...next, deadlineMs: 60_000 }));
      expect((await rolloutEnd(client, id)).devices).toMatchObject([{ state: 'committed', error: null }]);
    } finally {
      running.kill('SIGTERM');
      await own.stop();
    }
    expect(await ended).toEqual([0, null]);
  }, 120_000);

  it('explains a folder without an identity', () => {
    const { status, stderr } = spawnSync(program, [folder], { encoding: 'utf8' });
    expect(status).toBe(1);
    expect(stderr).toContain('device.json is not a device description');
  });
});
