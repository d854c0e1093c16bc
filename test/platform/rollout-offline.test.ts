import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import RolloutShow from '../../src/commands/rollout/show.js';
import type { ModelVersion } from '../../src/lib/api/api.js';
import type { RegistryClient } from '../../src/lib/api/client.js';
import { clientFor, contextFor } from '../../src/lib/api/context.js';
import { rolloutPlanSchema, rolloutSchema } from '../../src/lib/api/rollouts/schema.js';
import { operatorKey } from '../../src/lib/provision/operator-key.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { pushTiny } from '../support/bundle.js';
import { runCli } from '../support/cli.js';
import { type FakeDevice, fakeDevice } from '../support/fake-device.js';
import { ok, type UpForTests, upForTests } from '../support/up.js';

let own: UpForTests;
let client: RegistryClient;
let pushed: ModelVersion;
const devices: FakeDevice[] = [];
const online = ['pump-3', 'pump-7'];
const offline = [0, 1, 2, 4, 5, 6, 8, 9].map((i) => `pump-${i}`);
const argv = ['--model', 'tiny@1', '--selector', 'name~pump-*', '--waves', '20%,100%'];
const file = () => join(own.folder, 'plan.json');

beforeAll(async () => {
  own = await upForTests();
  client = await clientFor();
  pushed = await pushTiny(client, await operatorKey((await contextFor()).name));
  await client.devices.simulate({
    type: 'virtual',
    devices: offline.map((name, i) => ({ name, digest: String(i).repeat(64) })),
  });
  for (const name of online) {
    const out = join(own.folder, name);
    await provisionDevice({ client, name, type: 'virtual', out });
    devices.push(await fakeDevice(own.mqtts, out, name));
  }
}, 60_000);
afterAll(async () => {
  for (const { client } of devices) await client.endAsync(true);
  await client.close();
  await own.stop();
});

const firstWaveOf = async (id: string) =>
  (await client.rollouts.devices(id, { wave: 0 })).map(({ name }) => name);

it('a rollout gives the first wave to devices that are online, and reports how long it waits for the others', async () => {
  const plan = await ok(rolloutPlanSchema, ['rollout', 'plan', ...argv, '--out', file()]);
  expect(plan.waves.map((names) => [...names].sort())).toEqual([online, offline]);
  expect([...plan.offline].sort()).toEqual(offline);
  expect(plan.warnings).toContain('8 of 10 are offline and come last');

  const run = await runCli(['rollout', 'start', ...argv]);
  expect(run.code, run.stderr).toBe(0);
  expect(run.stderr).toContain(
    '8 of 10 devices have never connected (pump-0, pump-1, pump-2, …); wave 2 will wait for up to 10m (--deadline); ' +
      'to leave them out, use --selector "online=true and name~pump-*"\n',
  );
  const id = /ro_\w+/.exec(run.stdout)![0];
  expect(await firstWaveOf(id)).toEqual(online);
  const before = await ok(RolloutShow.result, ['rollout', 'show', id]);
  expect(before.offline).toEqual({ names: offline, never: offline, of: 10, wave: 1, until: null });

  const { name, version, sequence, digest } = pushed;
  for (const device of devices) {
    await device.heard(1);
    await device.report('COMMITTED', { model: { name, version, sequence, digest } });
  }
  await vi.waitFor(async () => expect((await client.rollouts.get(id)).waves[1]?.offered).toBe(8), 10_000);
  const after = await ok(RolloutShow.result, ['rollout', 'show', id]);
  expect(after.offline).toMatchObject({ names: offline, of: 10, wave: 1 });
  expect(after.offline!.until).toBe(after.waves[1]!.opened! + 600_000);
  expect((await runCli(['rollout', 'show', id])).stdout).toMatch(
    /^! 8 of 10 devices have never connected .*; wave 2 waits until \d\d:\d\d:\d\d UTC \(--deadline 10m\); to leave/m,
  );
  await ok(rolloutSchema, ['rollout', 'abort', id]);
  const ended = await ok(RolloutShow.result, ['rollout', 'show', id]);
  expect(ended).toMatchObject({ state: 'aborted', offline: null });
});

it('a rollout keeps its planned waves even if devices have since gone offline', async () => {
  await devices[0]!.client.endAsync(true);
  await vi.waitFor(async () => expect((await client.devices.get(online[0]!)).online).toBe(false), 10_000);
  const fresh = await ok(rolloutPlanSchema, ['rollout', 'plan', ...argv]);
  expect(fresh.waves[0]).not.toEqual(expect.arrayContaining(online));
  const { id } = await ok(rolloutSchema, ['rollout', 'start', '--plan', file()]);
  expect(await firstWaveOf(id)).toEqual(online);
  await ok(rolloutSchema, ['rollout', 'abort', id]);
});
