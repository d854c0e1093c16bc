import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createClient } from '../../src/lib/api/client.js';
import { rolloutPlanSchema, rolloutSchema } from '../../src/lib/api/rollouts/schema.js';
import { writeContexts } from '../../src/lib/core/contexts.js';
import { simulateDevice } from '../../src/lib/device/simulate.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { runCli } from '../support/cli.js';
import { fixedPorts, type TestPlatform, testPlatform } from '../support/platform.js';
import { Pump, pumpSchema } from '../support/pump.js';
import { ok, refusal } from '../support/up.js';

const names = ['pump-1', 'pump-2', 'pump-3', 'pump-4'];
const waitLong = { timeout: 20_000 };
let own: TestPlatform;
let pumps: Pump[] = [];

beforeAll(async () => {
  own = await testPlatform(await fixedPorts());
  process.env.AIOT_CONFIG_DIR = join(own.folder, 'config');
  await writeContexts({
    current: 'lab',
    contexts: { lab: { url: own.platform.urls.http, ca: own.platform.ca, token: own.token } },
  });
  await own.client.settings.apply({ project: 'pumps', settings: [{ type: 'pump', schema: pumpSchema }] });
  for (const name of names)
    await provisionDevice({ client: own.client, name, type: 'pump', out: join(own.folder, name) });
});
afterAll(() => own.stop());

beforeEach(async () => {
  for (const name of names)
    await own.client.settings.change(name, { set: {}, unset: ['rpm', 'site', 'report.everyS'] });
});
afterEach(async () => {
  await Promise.all(pumps.map((pump) => pump.end()));
  pumps = [];
  for (const { id, state } of await own.client.rollouts.list())
    if (state === 'running' || state === 'paused') await own.client.rollouts.abort(id);
});

async function connect(answers: Record<string, Parameters<typeof Pump.connect>[2]> = {}, all = names) {
  for (const name of all)
    pumps.push(await Pump.connect(own.platform.urls.mqtts, join(own.folder, name), answers[name]));
}
const of = (name: string) => pumps.find((pump) => pump.name === name) as Pump;
const start = (policy: object, change: object = { set: { rpm: 1200 } }, selector = 'all') =>
  own.client.rollouts.start({
    releases: [{ kind: 'settings', name: 'pump', change }],
    ...{ selector, policy },
  });
const stateOf = async (id: string) => (await own.client.rollouts.get(id)).state;
const ownOf = async (name: string) => (await own.client.settings.of(name)).own;
const devicesOf = async (id: string) =>
  Object.fromEntries(
    (await own.client.rollouts.devices(id)).map(({ name, state, error }) => [
      name,
      error ? `${state} ${error.code}` : state,
    ]),
  );
const reject = { code: 'PUMP_BLOCKED', message: 'the valve is closed' };
const rejects = ({ values }: { values: Record<string, unknown> }) => (values.rpm === 1200 ? reject : null);

describe('a rollout of settings', () => {
  it('opens a wave when the devices of the previous one have reported the new values', async () => {
    await connect();
    const plan = await own.client.rollouts.plan({
      releases: [{ kind: 'settings', name: 'pump', change: { set: { rpm: 1200 } } }],
      ...{ selector: 'all', policy: { waves: [1, '100%'] } },
    });
    const [first = ''] = plan.waves[0] ?? [];
    of(first).isSlow = true;
    const { id, releases, rollback } = await start({ waves: [1, '100%'] });
    expect(releases).toEqual([{ kind: 'settings', name: 'pump', change: { set: { rpm: 1200 }, unset: [] } }]);
    expect(rollback).toEqual({ kind: 'settings', name: 'pump', change: null });
    await expect.poll(() => of(first).sent.at(-1)?.values.rpm, waitLong).toBe(1200);
    const others = names.filter((name) => name !== first);
    expect((await own.client.rollouts.get(id)).waves.map(({ state }) => state)).toEqual(['open', 'waiting']);
    for (const name of others) expect(await ownOf(name)).toEqual({});
    await of(first).answer();
    await expect.poll(() => stateOf(id), waitLong).toBe('done');
    for (const name of names) expect(await ownOf(name)).toEqual({ rpm: 1200 });
    expect(await devicesOf(id)).toEqual(Object.fromEntries(names.map((name) => [name, 'committed'])));
    const { events } = await own.client.events.page({
      types: ['device.settings'],
      subject: first,
      limit: 100,
    });
    expect(events.at(-1)).toMatchObject({
      who: 'platform',
      data: { set: { rpm: 1200 }, unset: [], rollout: id },
    });
  });

  it('is started, planned and shown by the CLI', async () => {
    await connect();
    const deploy = ['device', 'settings', 'deploy', 'rpm=1200', 'report.everyS=5', 'site-', '--selector'];
    const plan = await ok(rolloutPlanSchema, [...deploy, 'all', '--waves', '1,100%', '--dry-run']);
    expect(plan.waves.map(({ length }) => length)).toEqual([1, 3]);
    expect(await ownOf('pump-1')).toEqual({});
    const done = await ok(rolloutSchema, [
      ...deploy,
      'name=pump-1 or name=pump-2',
      '--waves',
      '1,100%',
      '--wait',
    ]);
    expect(done).toMatchObject({ state: 'done', waves: [{ committed: 1 }, { committed: 1 }] });
    expect(await ownOf('pump-2')).toEqual({ rpm: 1200, report: { everyS: 5 } });
    expect(await ownOf('pump-3')).toEqual({});
    const text = 'pump settings: rpm=1200, report.everyS=5, site-';
    expect((await runCli(['rollout', 'list'])).stdout).toContain(text);
    const { stdout } = await runCli(['rollout', 'show', done.id]);
    expect(stdout).toContain(text);
    expect(stdout).toContain('rollback to  former pump settings');
    // Devices that use the values already are not asked again.
    const again = await ok(rolloutSchema, [...deploy, 'name=pump-1 or name=pump-2']);
    expect(again).toMatchObject({ state: 'done' });
  });

  it('gives a device that rejects its values the former ones, and stops at the limit', async () => {
    await own.client.settings.change('pump-2', { set: { rpm: 600 } });
    await connect({ 'pump-2': rejects });
    const { id } = await start({ maxFailures: 0 }, undefined, 'name=pump-1 or name=pump-2');
    await expect.poll(() => stateOf(id), waitLong).toBe('paused');
    expect(await own.client.rollouts.get(id)).toMatchObject({ reason: { code: 'AIOT_ROLLOUT_FAILURES' } });
    const failed = (await own.client.rollouts.devices(id)).find(({ name }) => name === 'pump-2');
    expect(failed).toMatchObject({ state: 'failed', error: reject });
    expect(await ownOf('pump-2')).toEqual({ rpm: 600 });
    await expect.poll(async () => (await own.client.settings.of('pump-2')).state, waitLong).toBe('same');
  });

  it('returns all devices to their former values if too many fail', async () => {
    await own.client.settings.change('pump-1', { set: { rpm: 700, site: 'north' } });
    await connect({ 'pump-4': rejects });
    const { id } = await start({ maxFailures: 0, onFailure: 'rollback' });
    await expect.poll(() => stateOf(id), waitLong).toBe('rolledBack');
    expect(await ownOf('pump-1')).toEqual({ rpm: 700, site: 'north' });
    for (const name of ['pump-2', 'pump-3', 'pump-4']) expect(await ownOf(name)).toEqual({});
    for (const name of names)
      await expect.poll(async () => (await own.client.settings.of(name)).state, waitLong).toBe('same');
  });

  it('reaches an offline device when it connects, and misses one that stays away', async () => {
    await connect({}, ['pump-1', 'pump-2', 'pump-3']);
    const { id } = await start({ waves: ['100%'] });
    await expect
      .poll(() => devicesOf(id), waitLong)
      .toEqual({
        ...{ 'pump-1': 'committed', 'pump-2': 'committed', 'pump-3': 'committed', 'pump-4': 'offered' },
      });
    await connect({}, ['pump-4']);
    await expect.poll(() => stateOf(id), waitLong).toBe('done');
    expect(of('pump-4').sent.at(-1)?.values.rpm).toBe(1200);
    await of('pump-4').end();
    const away = await start({ offlineMs: 1000 }, { set: { rpm: 1300 } }, 'name=pump-4');
    await expect
      .poll(() => devicesOf(away.id), waitLong)
      .toEqual({ 'pump-4': 'missed AIOT_ROLLOUT_DEADLINE' });
    expect(await ownOf('pump-4')).toEqual({ rpm: 1200 });
  });

  it('never overwrites values that a user has set meanwhile', async () => {
    await connect({}, ['pump-1', 'pump-2', 'pump-3']);
    const { id } = await start({ waves: ['100%'], startAt: Date.now() + 3_600_000 });
    await own.client.settings.change('pump-1', { set: { rpm: 555 } });
    await own.client.settings.change('pump-2', { set: { site: 'south' } });
    await expect
      .poll(async () => (await devicesOf(id))['pump-1'], waitLong)
      .toBe('withdrawn AIOT_SETTINGS_CHANGED');
    const [left] = await own.client.rollouts.devices(id);
    expect(left?.error?.message).toMatch(/^operator \S+ changed rpm after the rollout had started/);
    await own.client.rollouts.abort(id);
    const now = await start({ waves: ['100%'], minSuccess: 0 }, undefined, 'name!=pump-4');
    await expect.poll(() => stateOf(now.id), waitLong).toBe('done');
    // The rollback spares the value of the user, and keeps other settings that were changed meanwhile.
    await own.client.settings.change('pump-3', { set: { rpm: 1250 } });
    await own.client.settings.change('pump-1', { set: { report: { everyS: 9 } } });
    await own.client.rollouts.rollback(now.id);
    await expect.poll(() => stateOf(now.id), waitLong).toBe('rolledBack');
    expect(await ownOf('pump-1')).toEqual({ rpm: 555, report: { everyS: 9 } });
    expect(await ownOf('pump-2')).toEqual({ site: 'south' });
    expect(await ownOf('pump-3')).toEqual({ rpm: 1250 });
    expect((await devicesOf(now.id))['pump-3']).toBe('withdrawn AIOT_SETTINGS_CHANGED');
  });

  it('restores the settings that nobody has changed, even if a user has changed others of the same rollout', async () => {
    await own.client.settings.change('pump-1', { set: { rpm: 700, site: 'north' } });
    await connect({}, ['pump-1', 'pump-2']);
    const change = { set: { rpm: 1200, report: { everyS: 5 } }, unset: ['site'] };
    const { id } = await start({ waves: ['100%'] }, change, 'name=pump-1 or name=pump-2');
    await expect.poll(() => stateOf(id), waitLong).toBe('done');
    await own.client.settings.change('pump-1', { set: { report: { everyS: 9 } } });
    await own.client.rollouts.rollback(id);
    await expect.poll(() => stateOf(id), waitLong).toBe('rolledBack');
    expect(await ownOf('pump-1')).toEqual({ rpm: 700, site: 'north', report: { everyS: 9 } });
    expect(await ownOf('pump-2')).toEqual({});
    of('pump-2').isSlow = true;
    const open = await start({ waves: ['100%'] }, change, 'name=pump-2');
    await expect.poll(() => ownOf('pump-2'), waitLong).toEqual({ rpm: 1200, report: { everyS: 5 } });
    // A user's change withdraws the device, with the rollout's other values.
    await own.client.settings.change('pump-2', { set: { rpm: 640 } });
    await expect
      .poll(async () => (await devicesOf(open.id))['pump-2'], waitLong)
      .toBe('withdrawn AIOT_SETTINGS_CHANGED');
    await expect.poll(() => ownOf('pump-2'), waitLong).toEqual({ rpm: 640 });
  });

  it('fails on a device whose former values have become invalid', async () => {
    await own.client.settings.change('pump-1', { set: { rpm: 700 } });
    await connect({}, ['pump-1']);
    const { id } = await start({ waves: ['100%'] }, undefined, 'name=pump-1');
    await expect.poll(() => stateOf(id), waitLong).toBe('done');
    const { rpm } = pumpSchema.properties;
    const narrower = {
      ...pumpSchema,
      properties: { ...pumpSchema.properties, rpm: { ...rpm, minimum: 800 } },
    };
    const apply = (schema: Record<string, unknown>) =>
      own.client.settings.apply({ project: 'pumps', settings: [{ type: 'pump', schema }] });
    await apply(narrower);
    try {
      await own.client.rollouts.rollback(id);
      await expect
        .poll(async () => (await devicesOf(id))['pump-1'], waitLong)
        .toBe('failed AIOT_SETTINGS_INVALID');
      expect((await own.client.settings.of('pump-1')).values).toMatchObject({ rpm: 1200 });
    } finally {
      await own.client.settings.change('pump-1', { set: { rpm: 900 } });
      await apply(pumpSchema);
    }
  });

  it('takes its values back from devices that have not reported them when it is paused or aborted', async () => {
    await connect({}, ['pump-1']);
    of('pump-1').isSlow = true;
    const { id } = await start({ waves: ['100%'] }, undefined, 'name=pump-1');
    await expect.poll(() => ownOf('pump-1'), waitLong).toEqual({ rpm: 1200 });
    await own.client.rollouts.pause(id);
    expect(await ownOf('pump-1')).toEqual({});
    await own.client.rollouts.resume(id);
    await expect.poll(() => ownOf('pump-1'), waitLong).toEqual({ rpm: 1200 });
    await own.client.rollouts.abort(id);
    expect(await ownOf('pump-1')).toEqual({});
    expect(await stateOf(id)).toBe('aborted');
  });

  it('replaces an unfinished one that changes the same devices, whose values return first', async () => {
    await connect({}, ['pump-1']);
    of('pump-1').isSlow = true;
    const first = await start({}, { set: { rpm: 1200, site: 'x' } }, 'name=pump-1');
    await expect.poll(() => ownOf('pump-1'), waitLong).toEqual({ rpm: 1200, site: 'x' });
    of('pump-1').isSlow = false;
    const second = await start({}, { set: { rpm: 1300 } }, 'name=pump-1');
    await expect.poll(() => stateOf(second.id), waitLong).toBe('done');
    expect(await ownOf('pump-1')).toEqual({ rpm: 1300 });
    expect(await devicesOf(first.id)).toEqual({ 'pump-1': 'withdrawn AIOT_ROLLOUT_SUPERSEDED' });
  });

  it('counts a device as failed that reports other values during the soak', async () => {
    await connect({}, ['pump-1', 'pump-2']);
    const policy = { waves: ['100%'], maxFailures: 0, soakMs: 3_600_000, onFailure: 'rollback' };
    const { id } = await start(policy, undefined, 'name=pump-1 or name=pump-2');
    await expect
      .poll(() => devicesOf(id), waitLong)
      .toEqual({ 'pump-1': 'committed', 'pump-2': 'committed' });
    const digest = of('pump-1').sent.at(-1)?.digest ?? '';
    await of('pump-1').tell({ digest: null, error: { ...reject, digest } });
    await expect.poll(() => stateOf(id), waitLong).toBe('rolledBack');
    expect(await ownOf('pump-1')).toEqual({});
    expect(await ownOf('pump-2')).toEqual({});
  });

  it('goes on after a restart of the platform', async () => {
    await connect();
    for (const pump of pumps) pump.isSlow = true;
    const { id } = await start({ waves: ['100%'] });
    await expect.poll(() => of('pump-1').sent.at(-1)?.values.rpm, waitLong).toBe(1200);
    await own.restart();
    for (const pump of pumps) {
      pump.isSlow = false;
      await pump.answer();
    }
    await expect.poll(() => stateOf(id), waitLong).toBe('done');
    await own.client.rollouts.rollback(id);
    await expect.poll(() => stateOf(id), waitLong).toBe('rolledBack');
    for (const name of names) expect(await ownOf(name)).toEqual({});
  });

  it.each([
    [['rpm=9000', '--selector', 'all'], 'AIOT_SETTINGS_INVALID', 'settings.rpm: must be <= 3000, got 9000'],
    [['rpm', '--selector', 'all'], 'AIOT_USAGE', 'or rpm- to remove an override; got rpm'],
    [['--selector', 'all'], 'AIOT_USAGE', 'expected a setting such as rpm=900'],
    [['rpm=1', '--selector', 'all', '--type', 'fan'], 'AIOT_SETTINGS_UNKNOWN', 'known: pump'],
    [['rpm=1', '--selector', 'name=pump-7'], 'AIOT_ROLLOUT_EMPTY', 'pump-7'],
    [['rpm=1', '--selector', 'rpm<<3'], 'AIOT_SELECTOR_INVALID', 'the selector'],
  ])('is not started by %j', async (words, code, message) => {
    const count = (await own.client.rollouts.list()).length;
    const error = await refusal(['device', 'settings', 'deploy', ...words]);
    expect(error).toMatchObject({ code });
    expect(error.message).toContain(message);
    expect(await own.client.rollouts.list()).toHaveLength(count);
  });

  it.each([
    [{ releases: [{ kind: 'settings', name: 'pump', change: {} }] }, 'expected at least one setting'],
    [{ releases: [{ kind: 'settings', name: 'pump', change: null }] }, 'expected at least one setting'],
    [
      {
        releases: [
          { kind: 'settings', name: 'pump', change: { set: { rpm: 1 } } },
          { kind: 'model', name: 'm', version: 1, sequence: 1 },
        ],
      },
      'contains nothing else',
    ],
    [{ policy: { requireProof: true } }, 'do not sign their settings'],
    [{ policy: { shadow: { ms: 60_000 } } }, 'only a model'],
  ])('is rejected by the API if it is %j', async (more, message) => {
    const releases = [{ kind: 'settings', name: 'pump', change: { set: { rpm: 1 } } }];
    const request = { releases, selector: 'all', ...more } as Parameters<typeof own.client.rollouts.start>[0];
    await expect(own.client.rollouts.start(request)).rejects.toMatchObject({
      ...{ code: 'AIOT_REQUEST_INVALID', message: expect.stringContaining(message) },
    });
  });

  it('needs the rights of changing settings, because settings are not signed', async () => {
    const asked = {
      releases: [{ kind: 'settings' as const, name: 'pump', change: { set: { rpm: 800 } } }],
      selector: 'name=pump-1',
    };
    const startAs = async (name: string, role: 'ci' | 'operator', scopes?: string[]) => {
      const { token } = await own.client.tokens.create({ name, role, ...(scopes && { scopes }) });
      const client = createClient({ url: own.platform.urls.http, ca: own.ca, token });
      return client.rollouts.start(asked).finally(() => client.close());
    };
    await expect(startAs('build', 'ci')).rejects.toMatchObject({
      code: 'AIOT_NOT_ALLOWED',
      message: expect.stringContaining('a rollout of settings requires the role operator'),
    });
    await expect(startAs('releases', 'operator', ['rollouts:write'])).rejects.toMatchObject({
      code: 'AIOT_NOT_ALLOWED',
      message: expect.stringContaining('requires the scope devices:write'),
    });
    const { id } = await startAs('both', 'operator', ['rollouts:write', 'devices:write']);
    expect(await stateOf(id)).toBe('running');
  });

  it('concerns only the devices of a limited token, and is forbidden to viewers', async () => {
    await own.client.devices.change(['pump-1', 'pump-2'], { action: 'group', add: ['hall'], remove: [] });
    await own.client.users.add({ name: 'hall-op', role: 'operator', selector: 'group=hall' });
    await own.client.users.add({ name: 'guest', role: 'viewer' });
    const clientOf = async (owner: string) => {
      const { token } = await own.client.tokens.create({ name: owner, owner });
      return createClient({ url: own.platform.urls.http, ca: own.ca, token });
    };
    const [hall, guest] = [await clientOf('hall-op'), await clientOf('guest')];
    const asked = {
      releases: [{ kind: 'settings' as const, name: 'pump', change: { set: { rpm: 800 } } }],
      selector: 'all',
    };
    try {
      await expect(guest.rollouts.start(asked)).rejects.toMatchObject({ code: 'AIOT_NOT_ALLOWED' });
      await connect();
      const { id } = await hall.rollouts.start(asked);
      await expect.poll(async () => (await hall.rollouts.get(id)).state, waitLong).toBe('done');
      expect(Object.keys(await devicesOf(id))).toEqual(['pump-1', 'pump-2']);
      expect(await ownOf('pump-3')).toEqual({});
    } finally {
      await Promise.all([hall.close(), guest.close()]);
    }
  });

  it('is taken by virtual devices', async () => {
    await provisionDevice({
      client: own.client,
      name: 'pump-9',
      type: 'pump',
      out: join(own.folder, 'pump-9'),
    });
    const end = new AbortController();
    const ran = simulateDevice({
      ...{ identityDir: join(own.folder, 'pump-9'), speed: 1, predict: false, loop: false, seed: 1 },
      ...{ signal: end.signal, onEvent: () => {} },
    });
    try {
      const { id } = await start({}, undefined, 'name=pump-9');
      await expect.poll(() => stateOf(id), waitLong).toBe('done');
      expect(await own.client.settings.of('pump-9')).toMatchObject({ state: 'same', values: { rpm: 1200 } });
    } finally {
      end.abort();
      await ran;
    }
  });
});
