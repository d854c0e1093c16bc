import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as z from 'zod';
import { addContext } from '../../src/lib/core/contexts.js';
import { operatorKey } from '../../src/lib/provision/operator-key.js';
import type { RegistryClient } from '../../src/lib/registry/client.js';
import { clientFor, contextFor } from '../../src/lib/registry/context.js';
import { rolloutReportSchema } from '../../src/lib/registry/rollouts/report.js';
import {
  rolloutDeviceSchema,
  rolloutPlanSchema,
  rolloutSchema,
  rolloutStatusSchema,
} from '../../src/lib/registry/rollouts/schema.js';
import { pushTiny } from '../support/bundle.js';
import { runCli } from '../support/cli.js';
import { type Answer, type FakeFleet, fakeFleet } from '../support/fake-fleet.js';
import { ok, refusal, type UpForTests, upForTests } from '../support/up.js';

let own: UpForTests;
let client: RegistryClient;
let fleet: FakeFleet;
/** By version: what the devices make of it. */
let answers: Record<number, (device: string) => Answer> = {};
const names = Array.from({ length: 10 }, (_, i) => `pump-${i}`);
const at = (name: string) => join(own.folder, name);

beforeAll(async () => {
  own = await upForTests();
  client = await clientFor();
  const key = await operatorKey((await contextFor()).name);
  for (const seed of [0, 1, 2]) await pushTiny(client, key, { seed });
  const where = { client, mqtts: own.mqtts, folder: own.folder };
  fleet = await fakeFleet(where, names, (device, { version }) =>
    answers[version] ? answers[version](device) : 'commits',
  );
}, 60_000);
afterAll(async () => {
  await fleet.stop();
  await client.close();
  await own.stop();
});

const start = (...more: string[]) => ['ota', 'start', '--selector', 'name~pump-*', ...more];
const rolloutOf = (text: string) => /ro_\w+/.exec(text)![0];
const sum = (waves: Record<string, unknown>[], what: string) =>
  waves.reduce((total, wave) => total + (wave[what] as number), 0);

describe('a rollout in waves', () => {
  let good = '';

  it('is planned, and started as it was planned, and waited for', async () => {
    const argv = ['--model', 'tiny@1', '--selector', 'all', '--waves', '1,30%,100%'];
    const plan = await ok(rolloutPlanSchema, ['ota', 'plan', ...argv, '--out', at('plan.json')]);
    expect(plan.waves.map(({ length }) => length)).toEqual([1, 2, 7]);
    expect(rolloutPlanSchema.parse(JSON.parse(await readFile(at('plan.json'), 'utf8')))).toEqual(plan);
    expect(fleet.devices.every(({ desired }) => desired.length === 0)).toBe(true);
    const run = await runCli(['ota', 'start', '--plan', at('plan.json'), '--wait', '--json']);
    expect(run.code, run.stdout + run.stderr).toBe(0);
    const rollout = rolloutSchema.parse(run.json);
    expect(rollout).toMatchObject({
      state: 'done',
      seconds: expect.any(Number),
      waves: [1, 2, 7].map((devices) => ({ devices, committed: devices, rolledBack: 0, failed: 0 })),
    });
    // Those of a wave have it before anybody of the next one is told.
    const order = fleet.took(1);
    for (const [wave, [from, to]] of [[0, 1] as const, [1, 3] as const, [3, 10] as const].entries()) {
      expect(order.slice(from, to).sort()).toEqual([...plan.waves[wave]!].sort());
    }
    good = rollout.id;
  });

  it('shows what should run and what does, and what each device has proved', async () => {
    const status = rolloutStatusSchema.extend({ devices: z.array(rolloutDeviceSchema) });
    expect(await ok(status, ['ota', 'status', good])).toMatchObject({
      ...{ releases: [{ name: 'tiny', version: 1 }], devices: [] },
      runs: [{ name: 'tiny', version: 1, devices: 10 }],
    });
    const committed = await ok(status, ['ota', 'status', good, '--state', 'committed']);
    expect(committed.devices.map(({ name }) => name)).toEqual(names);
    const report = await ok(rolloutReportSchema, ['ota', 'report', good]);
    expect(report.failures).toEqual([]);
    expect(report.history.map(({ type }) => type)).toEqual([
      ...['rollout.start', 'rollout.wave', 'rollout.change', 'rollout.wave'],
      ...Array(2).fill(['rollout.wave', 'rollout.wave']).flat(),
      'rollout.end',
    ]);
    for (const { times } of report.devices) {
      const { offered = 0, golden = 0, committed = 0 } = times;
      expect([offered, golden, committed]).toEqual([offered, golden, committed].sort((a, b) => a - b));
      expect(offered).toBeGreaterThan(0);
    }
    const shown = await runCli(['ota', 'report', good]);
    expect(shown.stdout).toContain('10 golden');
    const paged = await runCli(['ota', 'report', good, '--report', at('rollout.html')]);
    expect(paged.code, paged.stderr).toBe(0);
    const page = await readFile(at('rollout.html'), 'utf8');
    expect(page).toContain('tiny@1 on 10');
    for (const name of names) expect(page).toContain(`>${name}</td>`);
    const refused = await runCli(['ota', 'report', good, '--report', own.folder]);
    expect(refused.stderr).toContain('AIOT_FILE_NOT_WRITABLE');
    expect((await runCli(['ota', 'status', good])).stdout).toMatch(/runs now +tiny@1 on 10/);
  });

  it('stops itself at the wave that fails, and the rest keep what they have', async () => {
    const before = fleet.took(2).length;
    answers = { 2: (device) => (device === 'pump-0' ? 'commits' : 'rolls back') };
    const run = await runCli([...start('--model', 'tiny@2', '--waves', '30%,100%'), '--wait', '--json']);
    expect(run.code, run.stderr).toBe(6);
    const rollout = rolloutSchema.parse(run.json);
    expect(rollout).toMatchObject({ state: 'paused', reason: { code: 'AIOT_ROLLOUT_FAILURES' } });
    expect(rollout.waves[1]).toMatchObject({ state: 'waiting', pending: 7 });
    expect(rollout.waves[0]!.rolledBack).toBeGreaterThanOrEqual(1);
    expect(fleet.took(2).length - before).toBeLessThanOrEqual(1);
    const shown = await runCli(['ota', 'status', rollout.id]);
    expect(shown.stdout).toContain('AIOT_GOLDEN_FAILED');
    expect(shown.stdout).toContain('aiot ota resume');
    expect((await runCli(['ota', 'watch', rollout.id, '--json'])).code).toBe(6);
    const aborted = await ok(rolloutSchema, ['ota', 'abort', rollout.id]);
    expect(aborted).toMatchObject({ state: 'aborted' });
    expect(sum(aborted.waves, 'withdrawn')).toBeGreaterThanOrEqual(7);
    expect(await refusal(['ota', 'resume', rollout.id])).toMatchObject({ code: 'AIOT_ROLLOUT_STATE' });
  });

  it('is resumed by somebody who has seen why, and retried when what was wrong is mended', async () => {
    const failing = new Set(['pump-1', 'pump-2', 'pump-3']);
    answers = { 2: (device) => (failing.has(device) ? 'refuses' : 'commits') };
    const first = await runCli([
      ...[...start('--model', 'tiny@2', '--waves', '100%'), '--max-failures', '1'],
      ...['--wait', '--json'],
    ]);
    expect(first.code).toBe(6);
    const { id } = rolloutSchema.parse(first.json);
    await ok(rolloutSchema, ['ota', 'resume', id]);
    const partly = await runCli(['ota', 'watch', id, '--json']);
    expect(partly.code).toBe(3);
    expect(rolloutSchema.parse(partly.json)).toMatchObject({
      ...{ state: 'partly', waves: [{ committed: 7, failed: 3 }] },
    });
    failing.clear();
    await ok(rolloutSchema, ['ota', 'retry', id]);
    const all = await runCli(['ota', 'watch', id, '--json']);
    expect(all.code).toBe(0);
    expect(rolloutSchema.parse(all.json)).toMatchObject({ state: 'done', waves: [{ committed: 10 }] });
  });

  it('is paused by hand, and goes on where it was', async () => {
    answers = { 3: () => null };
    const begun = await ok(rolloutSchema, start('--model', 'tiny@3', '--waves', '2,100%'));
    expect(await ok(rolloutSchema, ['ota', 'pause', begun.id])).toMatchObject({ state: 'paused' });
    expect(await ok(rolloutSchema, ['ota', 'resume', begun.id])).toMatchObject({ state: 'running' });
    expect(await ok(z.array(rolloutSchema), ['ota', 'list'])).toMatchObject([
      { id: begun.id, state: 'running' },
      ...Array(3).fill({}),
    ]);
    const ended = await ok(rolloutSchema, ['ota', 'abort', begun.id]);
    expect(['aborting', 'aborted']).toContain(ended.state);
  });

  it('brings all back where a wave fails and a way back was given', async () => {
    answers = { 3: (device) => (fleet.took(3).length > 2 && device ? 'rolls back' : 'commits') };
    const run = await runCli([
      ...start('--model', 'tiny@3', '--rollback-to', 'tiny@1', '--on-failure', 'rollback'),
      ...['--waves', '3,100%', '--max-failures', '1', '--wait', '--json'],
    ]);
    expect(run.code, run.stderr).toBe(6);
    const rollout = rolloutSchema.parse(run.json);
    expect(rollout).toMatchObject({ state: 'rolledBack', rollback: { version: 1 } });
    expect(sum(rollout.waves, 'restored')).toBe(3);
    const { runs } = await client.rollouts.get(rollout.id);
    expect(runs.some(({ version }) => version === 3)).toBe(false);
  });

  it('goes back when somebody says so, also after its end', async () => {
    answers = {};
    const argv = start('--model', 'tiny@3', '--rollback-to', 'tiny@2', '--waves', '100%');
    const run = await runCli([...argv, '--wait', '--json']);
    expect(run.code).toBe(0);
    const { id } = rolloutSchema.parse(run.json);
    await ok(rolloutSchema, ['ota', 'rollback', id]);
    expect((await runCli(['ota', 'watch', id, '--json'])).json).toMatchObject({ state: 'rolledBack' });
    expect((await client.rollouts.get(id)).runs).toEqual([{ name: 'tiny', version: 2, devices: 10 }]);
  });
});

describe('approval', () => {
  it('is somebody else’s, and nothing begins before it', async () => {
    answers = {};
    const argv = start('--model', 'tiny@1', '--waves', '100%', '--approval');
    const begun = await ok(rolloutSchema, argv);
    expect(begun).toMatchObject({ state: 'awaitingApproval', waves: [{ pending: 10 }] });
    expect(await refusal(['ota', 'approve', begun.id])).toMatchObject({ code: 'AIOT_ROLLOUT_APPROVER' });
    const { url, ca, mqtt } = await contextFor();
    const first = { url, ...(ca ? { ca } : {}), ...(mqtt ? { mqtt } : {}) };
    const mine = await client.tokens.create({ name: 'mine too', role: 'operator' });
    await addContext('mine', { ...first, token: mine.token });
    const asMyself = await refusal(['ota', 'approve', begun.id, '--context', 'mine']);
    expect(asMyself).toMatchObject({ code: 'AIOT_ROLLOUT_APPROVER' });
    await client.users.add({ name: 'second', role: 'operator' });
    const { token } = await client.tokens.create({ name: 'theirs', owner: 'second', role: 'operator' });
    await addContext('second', { ...first, token });
    await ok(rolloutSchema, ['ota', 'approve', begun.id, '--context', 'second']);
    const run = await runCli(['ota', 'watch', begun.id, '--json']);
    expect(run.json).toMatchObject({
      state: 'done',
      approvals: [{ who: expect.stringMatching(/^user second /) }],
    });
  });
});

describe('a proof', () => {
  it('is what a commit does not count without where it is asked for', async () => {
    answers = {};
    const argv = start('--model', 'tiny@2', '--require-proof', '--max-failures', '100%', '--waves', '100%');
    const run = await runCli([...argv, '--wait', '--json']);
    expect(run.code, run.stderr).toBe(1);
    const rollout = rolloutSchema.parse(run.json);
    expect(rollout).toMatchObject({ state: 'failed', policy: { requireProof: true } });
    const shown = await runCli(['ota', 'status', rollout.id]);
    expect(shown.stdout).toMatch(/pump-0 +failed +COMMITTED +said +AIOT_PROOF_MISSING/);
    const report = await runCli(['ota', 'report', rollout.id]);
    expect(report.stdout).toMatch(/signed +0 proven, 10 said, 0 refused/);
  });
});

describe('what is refused', () => {
  it.each([
    ['nothing to roll out', ['ota', 'start', '--selector', 'all'], 'AIOT_USAGE', 2],
    ['nobody to have it', ['ota', 'start', '--model', 'tiny@1'], 'AIOT_USAGE', 2],
    [
      'a selector that matches nothing',
      ['ota', 'start', '--model', 'tiny@1', '--selector', 'name=no'],
      'AIOT_ROLLOUT_EMPTY',
      4,
    ],
    ['a version that is not there', start('--model', 'tiny@9'), 'AIOT_NOT_FOUND', 4],
    ['waves that shrink', start('--model', 'tiny@1', '--waves', '50%,10%'), 'AIOT_USAGE', 2],
    ['a wave that is no share', start('--model', 'tiny@1', '--waves', 'half'), 'AIOT_USAGE', 2],
    ['failures beyond all', start('--model', 'tiny@1', '--max-failures', '101%'), 'AIOT_USAGE', 2],
    ['a window without an end', start('--model', 'tiny@1', '--window', '22:00'), 'AIOT_USAGE', 2],
    ['a time that is none', start('--model', 'tiny@1', '--at', 'tomorrow'), 'AIOT_USAGE', 2],
    ['a way back of nowhere', start('--model', 'tiny@1', '--on-failure', 'rollback'), 'AIOT_USAGE', 2],
    ['a plan and flags', ['ota', 'start', '--plan', 'p.json', '--max-failures', '1'], 'AIOT_USAGE', 2],
    ['a plan that is not there', ['ota', 'start', '--plan', 'nowhere.json'], 'AIOT_FILE_NOT_FOUND', 4],
    ['an unknown rollout', ['ota', 'status', 'ro_nothing'], 'AIOT_NOT_FOUND', 4],
    ['an unknown rollout to follow', ['ota', 'watch', 'ro_nothing'], 'AIOT_NOT_FOUND', 4],
  ])('%s', async (_, argv, code, exit) => {
    expect(await refusal(argv)).toMatchObject({ code, exit });
  });

  it('a plan whose selector matches other devices by now, and one that is none', async () => {
    await ok(rolloutPlanSchema, [
      ...['ota', 'plan', '--model', 'tiny@1', '--selector', 'name!=pump-9', '--out', at('old.json')],
    ]);
    await client.devices.act('pump-8', 'suspend');
    expect(await refusal(['ota', 'start', '--plan', at('old.json')])).toMatchObject({
      code: 'AIOT_ROLLOUT_PLAN',
    });
    await client.devices.act('pump-8', 'resume');
    await writeFile(at('no.json'), '{"spec":"other"}');
    expect(await refusal(['ota', 'start', '--plan', at('no.json')])).toMatchObject({
      code: 'AIOT_ROLLOUT_PLAN',
    });
  });

  it('nobody who is away: it says whom it waits for', async () => {
    const devices = [{ name: 'away-1', digest: '0'.repeat(64) }];
    await client.devices.simulate({ type: 'virtual', devices });
    const argv = [
      'ota',
      'start',
      '--model',
      'tiny@1',
      '--selector',
      'name=away-1',
      '--deadline',
      '2s',
      '--wait',
    ];
    const run = await runCli(argv);
    expect(run.code, run.stderr).toBe(1);
    expect(run.stderr).toMatch(/offline; waiting until the deadline: away-1\n/);
    expect((await runCli(['ota', 'watch', rolloutOf(run.stdout)])).stderr).not.toContain('offline');
  });

  it('devices of a rollout of higher priority', async () => {
    answers = { 2: () => null };
    const first = await ok(rolloutSchema, start('--model', 'tiny@2', '--priority', '5'));
    expect(await refusal(start('--model', 'tiny@1'))).toMatchObject({ code: 'AIOT_ROLLOUT_OVERLAP' });
    await ok(rolloutSchema, ['ota', 'abort', first.id]);
  });
});
