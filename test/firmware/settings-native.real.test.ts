import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { DeviceCall } from '../../src/lib/api/contract/commands.js';
import { systemClock } from '../../src/lib/core/time.js';
import type { DeviceEvent } from '../../src/lib/device/events.js';
import { nativeProgram } from '../../src/lib/device/native/build.js';
import { createNativeDevice, type NativeDevice } from '../../src/lib/device/native/device.js';
import { settingsPatienceMs } from '../../src/lib/fleet/settings.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { root } from '../support/cli.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { describeReal } from '../support/real.js';

const waitLong = { timeout: 20_000 };
/** The settings of firmware/test/pump. The platform also allows values that the program rejects. */
const schema = {
  type: 'object',
  properties: {
    rpm: { type: 'integer', minimum: 0, maximum: 5000, default: 900 },
    report: { type: 'object', properties: { everyS: { type: 'integer', default: 60 } } },
    quiet: { type: 'boolean', default: false },
    gain: { type: 'number', default: 1.5 },
    site: { type: 'string', default: '' },
    mode: { enum: ['eco', 'normal', 'boost'], default: 'eco' },
    pressure: { type: 'number' },
  },
  additionalProperties: false,
};

describeReal('native', 'the settings of a program on the firmware core', () => {
  let own: TestPlatform;
  let program: string;
  let aheadMs = 0;
  const devices = new Map<string, NativeDevice>();
  const folder = (name: string) => join(own.folder, name);

  beforeAll(async () => {
    program = await nativeProgram('aiot-device-pump');
    own = await testPlatform({ clock: { ...systemClock, now: () => Date.now() + aheadMs } });
    await own.client.settings.apply({ project: 'pumps', settings: [{ type: 'pump', schema }] });
    const commands = ['show-pump', 'turn-knob'].map((name) => ({ type: 'pump', name }));
    await own.client.commands.apply({ project: 'pumps', commands });
    for (const name of ['pump-1', 'pump-2']) {
      await mkdir(folder(name));
      await provisionDevice({ client: own.client, name, type: 'pump', out: folder(name) });
      await start(name);
    }
  }, 600_000);
  afterAll(async () => {
    for (const device of devices.values()) await device.stop();
    await own?.stop();
  });

  async function start(name: string, onEvent: (event: DeviceEvent) => void = () => {}) {
    const device = await createNativeDevice({ identityDir: folder(name), program, onEvent });
    devices.set(name, device);
    await device.connect();
    return device;
  }
  const of = (name: string) => own.client.settings.of(name);
  const stateOf = async (name: string) => (await of(name)).state;
  const call = (name: string, asked: DeviceCall) =>
    own.client.commands.call(name, asked, { limitMs: 20_000 });
  const shown = async (name: string) => {
    const { result } = await call(name, { command: 'show-pump' });
    return (result as { text: string }).text;
  };
  const deploy = (set: object, selector = 'all', policy: object = { waves: ['100%'], maxFailures: 0 }) =>
    own.client.rollouts.start({
      releases: [{ kind: 'settings', name: 'pump', change: { set: set as Record<string, unknown> } }],
      ...{ selector, policy },
    });
  const rollout = async (id: string) => (await own.client.rollouts.get(id)).state;

  it('are those of the code in docs/how-to/device-settings.md', async () => {
    const page = await readFile(join(root, 'docs/how-to/device-settings.md'), 'utf8');
    const [, code = ''] = /```c\n([\s\S]*?)```/.exec(page) ?? [];
    expect(code).toContain('AIOT_SETTINGS(own_settings');
    const compiled = await readFile(join(root, 'firmware/test/pump/aiot/own_settings.h'), 'utf8');
    expect(compiled).toContain(code);
  });

  it('are applied by a rollout, and reported with the digest of the platform', async () => {
    for (const name of devices.keys()) await expect.poll(() => stateOf(name), waitLong).toBe('same');
    expect(await shown('pump-1')).toBe('900 60 0 1.5  eco');
    const { id } = await deploy({
      rpm: 1200,
      gain: 0.1,
      site: 'Köln "3"\n😀',
      mode: 'boost',
      report: { everyS: 5 },
    });
    await expect.poll(() => rollout(id), waitLong).toBe('done');
    expect(await shown('pump-1')).toBe('1200 5 0 0.1 Köln "3"\n😀 boost');
    // The state is that of the digest, because the firmware reports no values.
    const { digest, values, state } = await of('pump-1');
    expect(state).toBe('same');
    expect(JSON.parse(await readFile(join(folder('pump-1'), 'settings.json'), 'utf8'))).toEqual({
      digest,
      values,
    });
  }, 60_000);

  it('are in use again after a restart, before the platform is reached', async () => {
    const before = await shown('pump-1');
    await devices.get('pump-1')?.stop();
    const device = await start('pump-1');
    expect(device.online).toBe(true);
    expect(await shown('pump-1')).toBe(before);
    await expect.poll(() => stateOf('pump-1'), waitLong).toBe('same');
  }, 60_000);

  it.each([
    [{ rpm: 4000 }, 'AIOT_SETTINGS_REJECTED', 'rpm: expected an integer from 0 to 3000'],
    [{ pressure: 2 }, 'AIOT_SETTINGS_REJECTED', 'pressure: expected a setting of this program'],
    [{ rpm: 2500, quiet: true }, 'AIOT_SETTINGS_REJECTED', 'a quiet pump can have at most 2000 rpm'],
  ])(
    'that a device rejects stop the rollout with its reason: %j',
    async (set, code, message) => {
      const before = await shown('pump-2');
      const { id } = await deploy(set, 'all', { waves: [1, '100%'], maxFailures: 0 });
      await expect.poll(() => rollout(id), waitLong).toBe('paused');
      const failed = (await own.client.rollouts.devices(id)).filter(({ state }) => state === 'failed');
      expect(failed).toMatchObject([{ error: { code, message } }]);
      for (const name of devices.keys()) {
        expect(await shown(name)).toBe(before);
        await expect.poll(() => stateOf(name), waitLong).toBe('same');
      }
      await own.client.rollouts.abort(id);
    },
    60_000,
  );

  it('return to the defaults when the overrides, and then the settings, are removed', async () => {
    await own.client.settings.change('pump-2', {
      set: {},
      unset: ['rpm', 'gain', 'site', 'mode', 'report.everyS'],
    });
    await expect.poll(() => shown('pump-2'), waitLong).toBe('900 60 0 1.5  eco');
    await own.client.settings.change('pump-2', { set: { rpm: 1100 } });
    await expect.poll(() => shown('pump-2'), waitLong).toBe('1100 60 0 1.5  eco');
    await own.client.settings.apply({ project: 'pumps', settings: [] });
    await expect.poll(() => shown('pump-2'), waitLong).toBe('900 60 0 1.5  eco');
    await expect
      .poll(() => readFile(join(folder('pump-2'), 'settings.json')).catch(() => null), waitLong)
      .toBeNull();
    await own.client.settings.apply({ project: 'pumps', settings: [{ type: 'pump', schema }] });
    await expect.poll(() => shown('pump-2'), waitLong).toBe('1100 60 0 1.5  eco');
  }, 60_000);

  it('that the program changes are shown as drift', async () => {
    await expect.poll(() => stateOf('pump-2'), waitLong).toBe('same');
    await call('pump-2', { command: 'turn-knob' });
    await call('pump-2', { command: 'log-level', params: { level: 'info' } });
    aheadMs += 2 * settingsPatienceMs;
    await expect.poll(() => stateOf('pump-2'), waitLong).toBe('drifted');
    expect((await own.client.attention.list()).devices).toMatchObject([{ name: 'pump-2' }]);
  }, 60_000);

  it('that cannot be stored are rejected, and the former ones stay in use', async () => {
    // The next text cannot be written, because its name is that of a folder.
    await mkdir(join(folder('pump-1'), 'settings.json.new'));
    const before = await shown('pump-1');
    await own.client.settings.change('pump-1', { set: { rpm: 1300 } });
    await expect
      .poll(() => of('pump-1'), waitLong)
      .toMatchObject({
        state: 'rejected',
        error: {
          code: 'AIOT_FLASH_FAILED',
          message: 'the settings cannot be stored; the former ones remain in use',
        },
      });
    expect(await shown('pump-1')).toBe(before);
    await rm(join(folder('pump-1'), 'settings.json.new'), { recursive: true });
    await writeFile(join(folder('pump-1'), 'settings.json'), '{');
    await devices.get('pump-1')?.stop();
    await start('pump-1');
    // Without usable stored settings, it starts with its defaults, and gets those of the platform again.
    await expect.poll(() => stateOf('pump-1'), waitLong).toBe('same');
    expect(await shown('pump-1')).toContain('1300 ');
  }, 60_000);
});
