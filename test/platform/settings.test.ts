import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { MqttClient } from 'mqtt';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createClient } from '../../src/lib/api/client.js';
import {
  deviceSettingsSchema,
  settingsAppliedSchema,
  settingsInfoSchema,
} from '../../src/lib/api/contract/settings.js';
import { writeContexts } from '../../src/lib/core/contexts.js';
import { systemClock } from '../../src/lib/core/time.js';
import { simulateDevice } from '../../src/lib/device/simulate.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { runCli } from '../support/cli.js';
import { connectDevice } from '../support/mqtt.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { ok, refusal } from '../support/up.js';

let own: TestPlatform;
const online: MqttClient[] = [];
const waitLong = { timeout: 20_000 };

/** Time by which the platform's clock is ahead of this machine's, ms. */
let aheadMs = 0;

beforeAll(async () => {
  own = await testPlatform({ clock: { ...systemClock, now: () => Date.now() + aheadMs } });
  process.env.AIOT_CONFIG_DIR = join(own.folder, 'config');
  await writeContexts({
    current: 'lab',
    contexts: { lab: { url: own.platform.urls.http, ca: own.platform.ca, token: own.token } },
  });
  for (const name of ['pump-1', 'pump-2', 'pump-3', 'pump-4'])
    await provisionDevice({ client: own.client, name, type: 'pump', out: join(own.folder, name) });
});
afterAll(async () => {
  await Promise.all(online.map((device) => device.endAsync(true)));
  await own.stop();
});

const report = { type: 'object', properties: { everyS: { type: 'integer', minimum: 1, default: 60 } } };
const schema = {
  type: 'object',
  properties: {
    rpm: { type: 'integer', minimum: 0, maximum: 3000, default: 900 },
    report: { ...report, default: { everyS: 60 }, additionalProperties: false },
    site: { type: 'string' },
  },
  additionalProperties: false,
};
const apply = (given: Record<string, unknown> = schema, project = 'pumps', type = 'pump') =>
  own.client.settings.apply({ project, settings: [{ type, schema: given }] });
const group = (name: string, names: string[]) =>
  own.client.devices.change(names, { action: 'group', add: [name], remove: [] });
const digestOf = async (name: string) => (await own.client.settings.of(name)).digest;
const values = async (name: string) => (await own.client.settings.of(name)).values;

interface Message {
  digest: string;
  values: Record<string, unknown>;
}

/** Connects a device that reports the returned settings for each message. Returns the messages that arrive. */
async function connectPump(name: string, answer: (sent: Message) => object | null) {
  const device = await connectDevice(own.platform.urls.mqtts, join(own.folder, name));
  online.push(device);
  const sent: (Message | null)[] = [];
  const tell = (settings: object) =>
    device.publishAsync(
      `aiot/v1/${name}/reported`,
      JSON.stringify({
        ...{ t: Date.now(), type: 'pump', state: 'IDLE', rollout: null, model: null, floor: 0 },
        ...{ download: null, golden: null, error: null, settings },
      }),
      { qos: 1, retain: true },
    );
  device.on('message', async (_topic, payload) => {
    const message = payload.length === 0 ? null : (JSON.parse(payload.toString()) as Message);
    sent.push(message);
    const settings = message && answer(message);
    if (settings) await tell(settings);
  });
  await device.subscribeAsync(`aiot/v1/${name}/settings`, { qos: 1 });
  return { sent, device, tell };
}

describe('the settings in aiot.yaml', () => {
  const project = () => join(own.folder, 'pumps');
  const write = async (settings: string) => {
    await mkdir(project(), { recursive: true });
    await writeFile(join(project(), 'aiot.yaml'), `name: pumps\nsettings:\n${settings}`);
  };
  const applied = ['device', 'settings', 'apply', '--project'];

  it('become those of the platform, until they are changed or removed', async () => {
    await write('  pump: { schema: { type: object } }\n  fan: { schema: { type: object } }\n');
    const none = { changed: [], removed: [], unchanged: [], project: 'pumps' };
    expect(await ok(settingsAppliedSchema, [...applied, project(), '--dry-run'])).toEqual({
      ...{ ...none, created: ['fan', 'pump'], dryRun: true },
    });
    expect(await own.client.settings.list()).toEqual([]);
    expect((await runCli([...applied, project()])).stdout).toContain('fan, pump');
    await write(`  pump: { schema: ${JSON.stringify(schema)} }\n`);
    expect(await ok(settingsAppliedSchema, [...applied, project()])).toEqual({
      ...{ ...none, dryRun: false, created: [], changed: ['pump'], removed: ['fan'] },
    });
    const { stdout } = await runCli(['device', 'settings', 'show']);
    expect(stdout).toMatch(/pump +pumps +all +rpm, report, site/);
  });

  it.each([
    ['a: { schema: { type: object, properties: 7 } }', 'AIOT_SETTINGS_SCHEMA', 'a: '],
    [
      'a: { schema: { type: object, $ref: "http://x/y" } }',
      'AIOT_SETTINGS_SCHEMA',
      "can't resolve reference",
    ],
    ['a: { schema: { type: object, required: [b] } }', 'AIOT_SETTINGS_SCHEMA', 'the defaults are invalid'],
    [
      'a: { schema: { type: object, properties: { pin: { type: string, writeOnly: true } } } }',
      ...['AIOT_SETTINGS_SCHEMA', 'settings must not contain secrets'],
    ],
    ['a: { schema: { type: array } }', 'AIOT_PROJECT_INVALID', 'settings.a.schema'],
    ['a: { run: [./a] }', 'AIOT_PROJECT_INVALID', 'settings.a.schema'],
  ])('are rejected if they are invalid: %s', async (yaml, code, message) => {
    await write(`  ${yaml}\n`);
    const error = await refusal([...applied, project()]);
    expect(error).toMatchObject({ code, exit: 2 });
    expect(error.message).toContain(message);
  });

  it('of another project are kept', async () => {
    await apply();
    await expect(apply(schema, 'others')).rejects.toMatchObject({
      ...{
        code: 'AIOT_ALREADY_EXISTS',
        message: 'the settings of pump are already defined by the project pumps',
      },
    });
  });
});

describe('the settings of a device', () => {
  beforeEach(async () => {
    await apply();
  });

  it('are the defaults, the overrides of its groups by priority, and its own', async () => {
    await group('lab', ['pump-1', 'pump-2']);
    await group('night', ['pump-1']);
    const lab = ['device', 'settings', 'set', '--group', 'lab', 'rpm=600', 'report.everyS=10'];
    expect((await ok(settingsInfoSchema, lab)).groups).toEqual([
      { group: 'lab', priority: 0, values: { rpm: 600, report: { everyS: 10 } } },
    ]);
    await ok(settingsInfoSchema, [
      ...['device', 'settings', 'set', '--group', 'night', '--type', 'pump', 'report.everyS=300'],
      ...['--priority', '5'],
    ]);
    const shown = await ok(deviceSettingsSchema, ['device', 'settings', 'set', 'pump-1', 'site=7']);
    expect(shown).toMatchObject({
      ...{ device: 'pump-1', type: 'pump', own: { site: '7' }, state: 'pending', problem: null, error: null },
      values: { rpm: 600, report: { everyS: 300 }, site: '7' },
      origins: { rpm: 'group lab', 'report.everyS': 'group night', site: 'pump-1' },
    });
    expect(await values('pump-2')).toEqual({ rpm: 600, report: { everyS: 10 } });
    await runCli(['device', 'settings', 'set', '--group', 'night', 'report.everyS-']);
    expect(await values('pump-1')).toEqual({ rpm: 600, report: { everyS: 10 }, site: '7' });
    const { stdout } = await runCli(['device', 'settings', 'show', 'pump-1']);
    expect(stdout).toMatch(/not applied yet[\s\S]*report.everyS +10 +group lab[\s\S]*site +7 +pump-1/);
    await runCli(['device', 'settings', 'set', 'pump-1', 'site-']);
    // A device that leaves a group loses the group's overrides.
    await own.client.devices.change(['pump-1'], { action: 'group', add: [], remove: ['lab'] });
    await expect.poll(() => values('pump-1'), waitLong).toEqual({ rpm: 900, report: { everyS: 60 } });
  });

  it.each([
    [['pump-3', 'rpm=9000'], 'AIOT_SETTINGS_INVALID', 'pump-3: settings.rpm: must be <= 3000, got 9000'],
    [['pump-3', 'speed=1'], 'AIOT_SETTINGS_INVALID', 'must NOT have additional properties: speed'],
    [['pump-3', '__proto__.rpm=1'], 'AIOT_USAGE', '__proto__.rpm=1'],
    [['--group', 'lab', 'rpm=-1'], 'AIOT_SETTINGS_INVALID', 'pump-2: settings.rpm: must be >= 0, got -1'],
    [['--group', 'empty', 'rpm=fast'], 'AIOT_SETTINGS_INVALID', 'group empty: settings.rpm: must be integer'],
    [['--group', 'lab', '--type', 'fan', 'a=1'], 'AIOT_SETTINGS_UNKNOWN', 'known: pump'],
    [['pump-3', 'rpm'], 'AIOT_USAGE', 'or rpm- to remove an override; got rpm'],
    [['pump-3', 'rpm=1', 'rpm=2'], 'AIOT_USAGE', 'rpm is given twice'],
    [['pump-3', 'a=1', '--priority', '1'], 'AIOT_USAGE', '--type and --priority require --group'],
  ])('cannot be changed by %j', async (words, code, message) => {
    const before = await digestOf('pump-3');
    const error = await refusal(['device', 'settings', 'set', ...words]);
    expect(error).toMatchObject({ code, exit: 2 });
    expect(error.message).toContain(message);
    expect(await digestOf('pump-3')).toBe(before);
  });

  it('limit the changes of the schema that its overrides allow', async () => {
    await own.client.settings.change('pump-3', { set: { rpm: 2000 } });
    const slower = {
      ...schema,
      properties: { ...schema.properties, rpm: { type: 'integer', maximum: 1000 } },
    };
    await expect(apply(slower)).rejects.toMatchObject({
      ...{ code: 'AIOT_SETTINGS_INVALID', message: 'pump-3: settings.rpm: must be <= 1000, got 2000' },
    });
    await own.client.settings.change('pump-3', { unset: ['rpm'] });
  });

  it('reach a device that was offline while they were changed, and are recorded', async () => {
    await own.client.settings.change('pump-2', { set: { rpm: 700 } });
    expect(await own.client.settings.of('pump-2')).toMatchObject({ state: 'pending', differences: [] });
    const { sent } = await connectPump('pump-2', ({ digest }) => ({ digest }));
    await expect.poll(async () => (await own.client.settings.of('pump-2')).state, waitLong).toBe('same');
    expect(sent.at(-1)).toEqual({ digest: await digestOf('pump-2'), values: await values('pump-2') });
    const set = ['device', 'settings', 'set', 'pump-2', 'rpm=800', '--wait', '--timeout', '30s'];
    expect(await ok(deviceSettingsSchema, set)).toMatchObject({ state: 'same', values: { rpm: 800 } });
    expect((await own.client.devices.get('pump-2')).settings).toEqual({ state: 'same', differing: [] });
    const { events } = await own.client.events.page({
      types: ['device.settings'],
      subject: 'pump-2',
      limit: 9,
    });
    expect(events.map(({ data }) => data)).toEqual([
      { set: { rpm: 700 }, unset: [] },
      { set: { rpm: 800 }, unset: [] },
    ]);
  });

  it('that a device rejects are an error with its reason', async () => {
    const error = { code: 'AIOT_SETTINGS_REJECTED', message: 'no motor' };
    await connectPump('pump-4', ({ digest }) => ({ digest: null, error: { ...error, digest } }));
    const set = ['device', 'settings', 'set', 'pump-4', 'rpm=1', '--wait'];
    expect(await refusal(set)).toMatchObject({ code: error.code, exit: 1 });
    expect(await own.client.settings.of('pump-4')).toMatchObject({ state: 'rejected', error });
    const { stdout } = await runCli(['device', 'show', 'pump-4']);
    expect(stdout).toMatch(/settings +rejected by the device/);
    await expect
      .poll(async () => (await own.client.attention.get('pump-4')).causes, waitLong)
      .toMatchObject([{ code: 'settings-drift', message: expect.stringContaining('no motor') }]);
  });

  it('may be read, but not changed, by a viewer', async () => {
    await own.client.users.add({ name: 'watcher', role: 'viewer' });
    const { token } = await own.client.tokens.create({ name: 'w', owner: 'watcher' });
    const viewer = createClient({ url: own.platform.urls.http, ca: own.ca, token });
    try {
      expect((await viewer.settings.of('pump-1')).values).toEqual(await values('pump-1'));
      await expect(viewer.settings.change('pump-1', { set: { rpm: 1 } })).rejects.toMatchObject({
        ...{ code: 'AIOT_NOT_ALLOWED' },
      });
    } finally {
      await viewer.close();
    }
  });

  it('end with the settings of its type', async () => {
    const { sent } = await connectPump('pump-3', ({ digest }) => ({ digest }));
    await expect.poll(() => sent.length, waitLong).toBeGreaterThan(0);
    await own.client.settings.apply({ project: 'pumps', settings: [] });
    await expect.poll(() => sent.at(-1), waitLong).toBeNull();
    expect((await own.client.devices.get('pump-3')).settings).toBeNull();
    const error = await refusal(['device', 'settings', 'show', 'pump-3']);
    expect(error).toMatchObject({ code: 'AIOT_SETTINGS_UNKNOWN', exit: 2 });
  });

  it('end on a device that was offline while they were removed', async () => {
    await apply();
    const before = await connectPump('pump-3', ({ digest }) => ({ digest }));
    await expect.poll(async () => (await own.client.settings.of('pump-3')).state, waitLong).toBe('same');
    const digest = await digestOf('pump-3');
    await before.device.endAsync();
    await own.client.settings.apply({ project: 'pumps', settings: [] });
    const after = await connectPump('pump-3', () => null);
    // A device that could not remove its settings reports an error, and is not told again.
    const error = { code: 'AIOT_FLASH_FAILED', message: 'they remain in use', digest: digest! };
    await after.tell({ digest, error });
    await after.tell({ digest: null });
    expect(after.sent).toEqual([]);
    await after.tell({ digest });
    await expect.poll(() => after.sent, waitLong).toEqual([null]);
  });
});

describe('a virtual device', () => {
  it('applies settings by the program of its project, keeps them, and reports an error', async () => {
    const folder = join(own.folder, 'works');
    await mkdir(folder, { recursive: true });
    const program =
      "let text='';process.stdin.on('data',d=>{text+=d}).on('end',()=>{const v=JSON.parse(text);if(v.rpm>2000){console.error('too fast');process.exit(3)}require('fs').writeFileSync('applied.json',text)})";
    const run = JSON.stringify(['node', '-e', program]);
    await writeFile(
      join(folder, 'aiot.yaml'),
      `name: pumps\nsettings:\n  pump:\n    schema: ${JSON.stringify(schema)}\n    run: ${run}\n`,
    );
    await ok(settingsAppliedSchema, ['device', 'settings', 'apply', '--project', folder]);
    await provisionDevice({
      client: own.client,
      name: 'pump-9',
      type: 'pump',
      out: join(own.folder, 'pump-9'),
    });
    const start = () => {
      const end = new AbortController();
      const ran = simulateDevice({
        ...{
          identityDir: join(own.folder, 'pump-9'),
          project: folder,
          speed: 1,
          predict: false,
          loop: false,
        },
        ...{ seed: 1, signal: end.signal, onEvent: () => {} },
      });
      return async () => {
        end.abort();
        await ran;
      };
    };
    const stop = start();
    try {
      const set = ['device', 'settings', 'set', 'pump-9', '--wait', '--timeout', '60s'];
      expect(await ok(deviceSettingsSchema, [...set, 'rpm=1000'])).toMatchObject({ state: 'same' });
      expect(JSON.parse(await readFile(join(folder, 'applied.json'), 'utf8'))).toEqual({
        ...{ rpm: 1000, report: { everyS: 60 } },
      });
      const rejected = await refusal([...set, 'rpm=2500']);
      expect(rejected).toMatchObject({ code: 'AIOT_SETTINGS_REJECTED', exit: 1 });
      expect(rejected.message).toContain('too fast');
      expect(await own.client.settings.of('pump-9')).toMatchObject({
        ...{ state: 'rejected', differences: [{ path: 'rpm', desired: 2500, reported: 1000 }] },
      });
    } finally {
      await stop();
    }
    const stored = JSON.parse(await readFile(join(own.folder, 'pump-9', 'settings.json'), 'utf8'));
    expect(stored.values).toMatchObject({ rpm: 1000 });
  });
});

describe('a device that runs other settings', () => {
  it('counts as drifted after half a minute, even if it claims the right digest', async () => {
    await apply();
    await own.client.settings.change('pump-1', { set: { rpm: 900, site: 'hall' } });
    await connectPump('pump-1', ({ digest }) => ({ digest, values: { rpm: 300, report: { everyS: 60 } } }));
    const differences = [
      { path: 'rpm', desired: 900, reported: 300 },
      { path: 'site', desired: 'hall' },
    ];
    await expect
      .poll(() => own.client.settings.of('pump-1'), waitLong)
      .toMatchObject({ state: 'pending', differences });
    aheadMs = 40_000;
    expect(await own.client.settings.of('pump-1')).toMatchObject({ state: 'drifted', differences });
    const settings = { state: 'drifted', differing: ['rpm', 'site'] };
    expect(await own.client.devices.get('pump-1')).toMatchObject({ settings });
    expect((await runCli(['device', 'show', 'pump-1'])).stdout).toMatch(/settings +drifted: rpm, site/);
    expect((await runCli(['device', 'list'])).stdout).toContain('settings drifted: rpm, site');
    expect((await runCli(['device', 'settings', 'show', 'pump-1'])).stdout).toMatch(/rpm +900 +pump-1 +300/);
    const words = 'it has not applied its settings: rpm is 300 instead of 900, and 1 more differ';
    await expect
      .poll(async () => (await own.client.attention.get('pump-1')).causes, waitLong)
      .toMatchObject([{ code: 'settings-drift', state: 'degraded', message: words }]);
  });
});

it('limited users see the settings of their devices, and change only these', async () => {
  await apply();
  await apply({ type: 'object', properties: {} }, 'valves', 'valve');
  await group('near', ['pump-1', 'pump-2']);
  await group('far', ['pump-4']);
  for (const name of ['near', 'far'])
    await own.client.settings.changeGroup('pump', name, { set: { site: name } });
  const tokenFor = async (name: string, selector: string) => {
    const { token } = await own.client.tokens.create({ name, role: 'operator', selector });
    return createClient({ url: own.platform.urls.http, ca: own.ca, token });
  };
  const [some, none] = [await tokenFor('some', 'name=pump-1'), await tokenFor('none', 'name=away')];
  const [only, ...others] = await some.settings.list();
  expect([only?.type, only?.groups.map((each) => each.group), others]).toEqual(['pump', ['near'], []]);
  expect(await none.settings.list()).toEqual([]);
  expect((await own.client.settings.list()).map(({ type }) => type)).toContain('valve');
  expect((await some.settings.change('pump-1', { set: { rpm: 300 } })).values.rpm).toBe(300);
  const refused = { code: 'AIOT_NOT_ALLOWED' };
  await expect(some.settings.change('pump-2', { set: { rpm: 300 } })).rejects.toMatchObject(refused);
  await expect(some.settings.changeGroup('pump', 'near', { set: { rpm: 1 } })).rejects.toMatchObject(refused);
  await some.close();
  await none.close();
});
