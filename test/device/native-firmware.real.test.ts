import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { addContext } from '../../src/lib/core/contexts.js';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { systemClock } from '../../src/lib/core/time.js';
import type { DeviceEvent } from '../../src/lib/device/events.js';
import { type NativeProgram, nativeProgram } from '../../src/lib/device/native/build.js';
import { createNativeDevice, type NativeDevice } from '../../src/lib/device/native/device.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { runCli } from '../support/cli.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { describeReal } from '../support/real.js';
import { oneWave, rolloutEnd } from '../support/rollout.js';

describeReal('native', 'over-the-air firmware for a self-replacing program', () => {
  let own: TestPlatform;
  let device: NativeDevice;
  const events: DeviceEvent[] = [];

  beforeAll(async () => {
    const program = await nativeProgram();
    own = await testPlatform();
    vi.stubEnv('AIOT_CONFIG_DIR', join(own.folder, 'config'));
    const { urls, ca } = own.platform;
    await addContext('own', { url: urls.http, ca, token: own.token }, { use: true });
    await mkdir(join(own.folder, 'config', 'keys'), { recursive: true });
    await writeFile(join(own.folder, 'config', 'keys', 'own.pem'), own.key, { mode: 0o600 });
    const identityDir = join(own.folder, 'native-1');
    await provisionDevice({ client: own.client, name: 'native-1', type: 'virtual', out: identityDir });
    device = await createNativeDevice({ identityDir, program, onEvent: (event) => events.push(event) });
    await device.connect();
  }, 600_000);
  afterAll(async () => {
    await device?.stop();
    vi.unstubAllEnvs();
    await own.stop();
  });

  const deploy = (what: string) =>
    runCli(['firmware', 'deploy', what, '--selector', 'name=native-1', '--json']);

  /** Pushes this program as the next version and rolls it out; returns the device's part of the rollout. */
  async function update(program: NativeProgram, ...more: string[]) {
    const file = await nativeProgram(program);
    const pushed = await runCli([
      'firmware',
      'push',
      file,
      '--name',
      'aiot-device',
      '--types',
      'virtual',
      '--json',
      ...more,
    ]);
    expect(pushed).toMatchObject({
      code: 0,
      json: { name: 'aiot-device', chip: null, deviceTypes: ['virtual'] },
    });
    const { version } = pushed.json as { version: number };
    const deployed = await deploy(`aiot-device@${version}`);
    const { devices } = deployed.json as { devices: { state: string; error: { code: string } | null }[] };
    return { version, code: deployed.code, ...devices[0] };
  }
  const running = () => device.reported?.firmware;

  it('is tried and committed, and still runs after a restart', async () => {
    expect(running()).toMatchObject({ name: 'aiot-device', release: null });
    expect(await update('aiot-device-next')).toMatchObject({
      version: 1,
      code: 0,
      state: 'committed',
      error: null,
    });
    expect(running()).toMatchObject({ version: expect.stringMatching(/-next$/), release: { version: 1 } });
    expect(device.reported).toMatchObject({ kind: 'firmware', state: 'COMMITTED', error: null });
    await device.stop();
    await device.connect();
    await expect.poll(() => device.online).toBe(true);
    expect(running()?.version).toMatch(/-next$/);
  }, 300_000);

  it('switches to an older version, which is signed again, and back', async () => {
    const back = await runCli([
      'firmware',
      'push',
      await nativeProgram(),
      '--name',
      'aiot-device',
      '--types',
      'virtual',
      '--json',
    ]);
    expect(back).toMatchObject({ code: 0, json: { version: 2, sequence: 2 } });
    // The device downloads a patch if the platform has created one in time, and otherwise the whole program. It must reject
    // neither.
    const forward = await deploy('aiot-device@2');
    expect(forward.code).toBe(0);
    const [taken] = (forward.json as { devices: { delta?: { error: unknown } }[] }).devices;
    expect(taken?.delta?.error ?? null).toBeNull();
    expect(running()).toMatchObject({
      version: expect.not.stringMatching(/-next$/),
      release: { version: 2 },
    });
    expect(await deploy('aiot-device@1')).toMatchObject({
      code: 0,
      json: { releases: [{ version: 1, sequence: 3 }] },
    });
    expect(running()).toMatchObject({
      ...{ version: expect.stringMatching(/-next$/), release: { version: 1, sequence: 3 } },
    });
  }, 300_000);

  it('rolls back after three trials if the new program exits immediately', async () => {
    const boots = events.filter(({ event }) => event === 'booted').length;
    const rolledBack = { code: 1, state: 'rolledBack', error: { code: 'AIOT_UPDATE_TRIAL' } };
    expect(await update('aiot-device-exits')).toMatchObject({ version: 3, ...rolledBack });
    expect(running()).toMatchObject({ version: expect.stringMatching(/-next$/), release: { version: 1 } });
    // The previous program has booted after each of the trials.
    expect(events.filter(({ event }) => event === 'booted').length - boots).toBe(3);
  }, 300_000);

  it('rolls back if the self-test of the new program fails', async () => {
    const rolledBack = { code: 1, state: 'rolledBack', error: { code: 'AIOT_UPDATE_TRIAL' } };
    expect(await update('aiot-device-unfit')).toMatchObject({ version: 4, ...rolledBack });
    await expect.poll(() => device.online).toBe(true);
    expect(running()).toMatchObject({ version: expect.stringMatching(/-next$/), release: { version: 1 } });
  }, 300_000);

  it.runIf(process.env.AIOT_LONG === '1')(
    'rolls back if the new program never reaches its broker',
    async () => {
      const rolledBack = { code: 1, state: 'rolledBack', error: { code: 'AIOT_UPDATE_HEARTBEAT' } };
      expect(await update('aiot-device-deaf')).toMatchObject(rolledBack);
      expect(running()?.version).toMatch(/-next$/);
    },
    400_000,
  );

  it('always boots one of the two programs, whenever it is killed during an update', async () => {
    const file = await nativeProgram('aiot-device');
    const { json } = await runCli([
      'firmware',
      'push',
      file,
      '--name',
      'aiot-device',
      '--types',
      'virtual',
      '--json',
    ]);
    const { version, sequence } = json as { version: number; sequence: number };
    const selector = 'name=native-1';
    const release = { kind: 'firmware', name: 'aiot-device', version, sequence } as const;
    const { id } = await own.client.rollouts.start(oneWave({ ...release, selector, deadlineMs: 120_000 }));
    const random = seededRandom(5);
    for (let kills = 0; kills < 6; kills++) {
      await systemClock.sleep(random() * 250);
      await device.kill();
      await device.connect();
    }
    const [ended] = (await rolloutEnd(own.client, id)).devices;
    await expect.poll(() => device.online, { timeout: 10_000 }).toBe(true);
    const kept = ended?.state === 'committed';
    expect(kept || ended?.error?.code === 'AIOT_UPDATE_TRIAL').toBe(true);
    expect(running()).toMatchObject({ release: { version: kept ? version : 1 } });
  }, 300_000);

  it('is rejected before the download if it is larger than a slot', async () => {
    const large = join(own.folder, 'large');
    const program = await readFile(await nativeProgram());
    await writeFile(large, Buffer.concat([program, Buffer.alloc(1024 ** 2 + 1 - program.length)]));
    const argv = ['--name', 'aiot-device', '--types', 'virtual', '--json'];
    const { json } = await runCli(['firmware', 'push', large, ...argv]);
    const { version, bytes } = json as { version: number; bytes: number };
    expect(bytes).toBe(1024 ** 2 + 1);
    const seen = events.length;
    const deployed = await deploy(`aiot-device@${version}`);
    const { devices } = deployed.json as { devices: { state: string; error: { code: string } }[] };
    expect(devices).toMatchObject([{ state: 'failed', error: { code: 'AIOT_UPDATE_SIZE' } }]);
    const told = events.slice(seen).flatMap((event) => (event.event === 'reported' ? [event.reported] : []));
    expect(told.map(({ state }) => state)).toEqual(['DOWNLOADING', 'IDLE']);
    expect(told.every(({ download }) => download === null)).toBe(true);
  }, 60_000);

  it('is kept if it was installed by cable, until the next over-the-air update', async () => {
    const release = running()?.release;
    expect(release).not.toBeNull();
    const identityDir = join(own.folder, 'native-1');
    const start = async (program: NativeProgram) => {
      await device.stop();
      device = await createNativeDevice({
        ...{ identityDir, program: await nativeProgram(program), onEvent: (event) => events.push(event) },
      });
      await device.connect();
      await expect.poll(() => running(), { timeout: 10_000 }).toBeDefined();
    };
    // Starting another program is like flashing a board by cable: the program is adopted, and kept across restarts.
    for (let starts = 0; starts < 2; starts++) {
      await start('aiot-device-unfit');
      expect(running()).toMatchObject({ version: expect.stringMatching(/-unfit$/), release: null });
    }
    expect(await update('aiot-device-next')).toMatchObject({ code: 0, state: 'committed' });
    await start('aiot-device-unfit');
    expect(running()?.version).toMatch(/-next$/);
  }, 300_000);

  it('raises the secure version, below which no rollout starts', async () => {
    expect(running()).toMatchObject({ secureVersion: 0 });
    const committed = { code: 0, state: 'committed', error: null };
    expect(await update('aiot-device', '--secure-version', '2')).toMatchObject(committed);
    expect(running()).toMatchObject({ secureVersion: 2 });
    const refused = await deploy('aiot-device@1');
    expect(refused).toMatchObject({ code: 5, json: { error: { code: 'AIOT_UPDATE_SECURE_VERSION' } } });
    await device.stop();
    await device.connect();
    await expect.poll(() => running()?.secureVersion, { timeout: 10_000 }).toBe(2);
  }, 300_000);

  it('is rejected by a device that accepts only models', async () => {
    const out = join(own.folder, 'plain-1');
    await provisionDevice({ client: own.client, name: 'plain-1', type: 'virtual', out });
    const simulated = runCli(['device', 'simulate', out, '--for', '8s', '--json']);
    await expect
      .poll(async () => (await own.client.devices.get('plain-1')).online, { timeout: 10_000 })
      .toBe(true);
    const versions = await own.client.firmware.list();
    const { name, latest } = versions[0]!;
    const { version, sequence } = latest;
    const selector = 'name=plain-1';
    const { id } = await own.client.rollouts.start(
      oneWave({ kind: 'firmware', name, version, sequence, selector }),
    );
    expect((await rolloutEnd(own.client, id)).devices).toMatchObject([
      { state: 'failed', error: { code: 'AIOT_UPDATE_INTERFACE' } },
    ]);
    await simulated;
  }, 60_000);
});
