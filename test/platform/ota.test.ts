import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as z from 'zod';
import type { RegistryClient } from '../../src/lib/api/client.js';
import { clientFor, contextFor } from '../../src/lib/api/context.js';
import { rolloutReportSchema } from '../../src/lib/api/rollouts/report.js';
import {
  rolloutDeviceSchema,
  rolloutPlanSchema,
  rolloutSchema,
  rolloutStatusSchema,
} from '../../src/lib/api/rollouts/schema.js';
import { addContext } from '../../src/lib/core/contexts.js';
import { operatorKey } from '../../src/lib/provision/operator-key.js';
import { pushTiny } from '../support/bundle.js';
import { runCli } from '../support/cli.js';
import { type Answer, type FakeFleet, fakeFleet } from '../support/fake-fleet.js';
import { ok, refusal, type UpForTests, upForTests } from '../support/up.js';

let own: UpForTests;
let client: RegistryClient;
let fleet: FakeFleet;
/** The devices' reactions to each version. */
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

const start = (...more: string[]) => ['rollout', 'start', '--selector', 'name~pump-*', ...more];
const rolloutOf = (text: string) => /ro_\w+/.exec(text)![0];
const sum = (waves: Record<string, unknown>[], what: string) =>
  waves.reduce((total, wave) => total + (wave[what] as number), 0);

describe('a rollout in waves', () => {
  let good = '';

  it('runs as planned, wave by wave, while the command waits', async () => {
    const argv = ['--model', 'tiny@1', '--selector', 'all', '--waves', '1,30%,100%'];
    const plan = await ok(rolloutPlanSchema, ['rollout', 'plan', ...argv, '--out', at('plan.json')]);
    expect(plan.waves.map(({ length }) => length)).toEqual([1, 2, 7]);
    expect(rolloutPlanSchema.parse(JSON.parse(await readFile(at('plan.json'), 'utf8')))).toEqual(plan);
    expect(fleet.devices.every(({ desired }) => desired.length === 0)).toBe(true);
    const run = await runCli(['rollout', 'start', '--plan', at('plan.json'), '--wait', '--json']);
    expect(run.code, run.stdout + run.stderr).toBe(0);
    const rollout = rolloutSchema.parse(run.json);
    expect(rollout).toMatchObject({
      state: 'done',
      seconds: expect.any(Number),
      waves: [1, 2, 7].map((devices) => ({ devices, committed: devices, rolledBack: 0, failed: 0 })),
    });
    // All devices of a wave have the version before it is offered to the next wave.
    const order = fleet.took(1);
    for (const [wave, [from, to]] of [[0, 1] as const, [1, 3] as const, [3, 10] as const].entries()) {
      expect(order.slice(from, to).sort()).toEqual([...plan.waves[wave]!].sort());
    }
    good = rollout.id;
  });

  it('shows the target and running versions, and reports on each device', async () => {
    const status = rolloutStatusSchema.extend({ devices: z.array(rolloutDeviceSchema) });
    expect(await ok(status, ['rollout', 'show', good])).toMatchObject({
      ...{ releases: [{ name: 'tiny', version: 1 }], devices: [] },
      runs: [{ name: 'tiny', version: 1, devices: 10 }],
    });
    const committed = await ok(status, ['rollout', 'show', good, '--state', 'committed']);
    expect(committed.devices.map(({ name }) => name)).toEqual(names);
    const report = await ok(rolloutReportSchema, ['rollout', 'report', good]);
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
    const shown = await runCli(['rollout', 'report', good]);
    expect(shown.stdout).toContain('10 tested');
    const paged = await runCli(['rollout', 'report', good, '--report', at('rollout.html')]);
    expect(paged.code, paged.stderr).toBe(0);
    const page = await readFile(at('rollout.html'), 'utf8');
    expect(page).toContain('tiny@1 on 10');
    for (const name of names) expect(page).toContain(`>${name}</td>`);
    const refused = await runCli(['rollout', 'report', good, '--report', own.folder]);
    expect(refused.stderr).toContain('AIOT_FILE_NOT_WRITABLE');
    expect((await runCli(['rollout', 'show', good])).stdout).toMatch(/running now +tiny@1 on 10 devices/);
  });

  it('pauses at the failing wave, and the remaining devices keep their version', async () => {
    const before = fleet.took(2).length;
    answers = { 2: (device) => (device === 'pump-0' ? 'commits' : 'rolls back') };
    const run = await runCli([...start('--model', 'tiny@2', '--waves', '30%,100%'), '--wait', '--json']);
    expect(run.code, run.stderr).toBe(6);
    const rollout = rolloutSchema.parse(run.json);
    expect(rollout).toMatchObject({ state: 'paused', reason: { code: 'AIOT_ROLLOUT_FAILURES' } });
    expect(rollout.waves[1]).toMatchObject({ state: 'waiting', pending: 7 });
    expect(rollout.waves[0]!.rolledBack).toBeGreaterThanOrEqual(1);
    expect(fleet.took(2).length - before).toBeLessThanOrEqual(1);
    const shown = await runCli(['rollout', 'show', rollout.id]);
    expect(shown.stdout).toContain('AIOT_GOLDEN_FAILED');
    expect(shown.stdout).toContain('aiot rollout resume');
    expect((await runCli(['rollout', 'watch', rollout.id, '--json'])).code).toBe(6);
    const aborted = await ok(rolloutSchema, ['rollout', 'abort', rollout.id]);
    expect(aborted).toMatchObject({ state: 'aborted' });
    expect(sum(aborted.waves, 'withdrawn')).toBeGreaterThanOrEqual(7);
    expect(await refusal(['rollout', 'resume', rollout.id])).toMatchObject({ code: 'AIOT_ROLLOUT_STATE' });
  });

  it('can be resumed despite failures, and retried once the cause is fixed', async () => {
    const failing = new Set(['pump-1', 'pump-2', 'pump-3']);
    answers = { 2: (device) => (failing.has(device) ? 'refuses' : 'commits') };
    const first = await runCli([
      ...[...start('--model', 'tiny@2', '--waves', '100%'), '--max-failures', '1'],
      ...['--wait', '--json'],
    ]);
    expect(first.code).toBe(6);
    const { id } = rolloutSchema.parse(first.json);
    await ok(rolloutSchema, ['rollout', 'resume', id]);
    const partly = await runCli(['rollout', 'watch', id, '--json']);
    expect(partly.code).toBe(3);
    expect(rolloutSchema.parse(partly.json)).toMatchObject({
      ...{ state: 'partly', waves: [{ committed: 7, failed: 3 }] },
    });
    failing.clear();
    await ok(rolloutSchema, ['rollout', 'retry', id]);
    const all = await runCli(['rollout', 'watch', id, '--json']);
    expect(all.code).toBe(0);
    expect(rolloutSchema.parse(all.json)).toMatchObject({ state: 'done', waves: [{ committed: 10 }] });
  });

  it('is paused and resumed manually', async () => {
    answers = { 3: () => null };
    const begun = await ok(rolloutSchema, start('--model', 'tiny@3', '--waves', '2,100%'));
    expect(await ok(rolloutSchema, ['rollout', 'pause', begun.id])).toMatchObject({ state: 'paused' });
    expect(await ok(rolloutSchema, ['rollout', 'resume', begun.id])).toMatchObject({ state: 'running' });
    expect(await ok(z.array(rolloutSchema), ['rollout', 'list'])).toMatchObject([
      { id: begun.id, state: 'running' },
      ...Array(3).fill({}),
    ]);
    const ended = await ok(rolloutSchema, ['rollout', 'abort', begun.id]);
    expect(['aborting', 'aborted']).toContain(ended.state);
  });

  it('rolls all devices back if a wave fails and a rollback version was given', async () => {
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

  it('rolls back on request, even after it has ended', async () => {
    answers = {};
    const argv = start('--model', 'tiny@3', '--rollback-to', 'tiny@2', '--waves', '100%');
    const run = await runCli([...argv, '--wait', '--json']);
    expect(run.code).toBe(0);
    const { id } = rolloutSchema.parse(run.json);
    await ok(rolloutSchema, ['rollout', 'rollback', id]);
    expect((await runCli(['rollout', 'watch', id, '--json'])).json).toMatchObject({ state: 'rolledBack' });
    expect((await client.rollouts.get(id)).runs).toEqual([{ name: 'tiny', version: 2, devices: 10 }]);
  });
});

describe('approval', () => {
  it('must come from another user before anything starts', async () => {
    answers = {};
    const argv = start('--model', 'tiny@1', '--waves', '100%', '--approval');
    const begun = await ok(rolloutSchema, argv);
    expect(begun).toMatchObject({ state: 'awaitingApproval', waves: [{ pending: 10 }] });
    expect(await refusal(['rollout', 'approve', begun.id])).toMatchObject({ code: 'AIOT_ROLLOUT_APPROVER' });
    const { url, ca, mqtt } = await contextFor();
    const first = { url, ...(ca ? { ca } : {}), ...(mqtt ? { mqtt } : {}) };
    const mine = await client.tokens.create({ name: 'mine too', role: 'operator' });
    await addContext('mine', { ...first, token: mine.token });
    const asMyself = await refusal(['rollout', 'approve', begun.id, '--context', 'mine']);
    expect(asMyself).toMatchObject({ code: 'AIOT_ROLLOUT_APPROVER' });
    await client.users.add({ name: 'second', role: 'operator' });
    const { token } = await client.tokens.create({ name: 'theirs', owner: 'second', role: 'operator' });
    await addContext('second', { ...first, token });
    await ok(rolloutSchema, ['rollout', 'approve', begun.id, '--context', 'second']);
    const run = await runCli(['rollout', 'watch', begun.id, '--json']);
    expect(run.json).toMatchObject({
      state: 'done',
      approvals: [{ who: expect.stringMatching(/^user second /) }],
    });
  });
});

describe('a proof', () => {
  it('is required for a commit to count if the rollout asks for it', async () => {
    answers = {};
    const argv = start('--model', 'tiny@2', '--require-proof', '--max-failures', '100%', '--waves', '100%');
    const run = await runCli([...argv, '--wait', '--json']);
    expect(run.code, run.stderr).toBe(1);
    const rollout = rolloutSchema.parse(run.json);
    expect(rollout).toMatchObject({ state: 'failed', policy: { requireProof: true } });
    const shown = await runCli(['rollout', 'show', rollout.id]);
    expect(shown.stdout).toMatch(/pump-0 +failed +COMMITTED +unsigned +AIOT_PROOF_MISSING/);
    const report = await runCli(['rollout', 'report', rollout.id]);
    expect(report.stdout).toMatch(/proofs +0 signed, 10 unsigned, 0 invalid/);
  });
});

describe('aiot rollout', () => {
  it.each([
    ['a start without a release', ['rollout', 'start', '--selector', 'all'], 'AIOT_USAGE', 2],
    ['a start without a selector', ['rollout', 'start', '--model', 'tiny@1'], 'AIOT_USAGE', 2],
    [
      'a selector that matches nothing',
      ['rollout', 'start', '--model', 'tiny@1', '--selector', 'name=no'],
      'AIOT_ROLLOUT_EMPTY',
      4,
    ],
    ['an unknown version', start('--model', 'tiny@9'), 'AIOT_NOT_FOUND', 4],
    ['shrinking waves', start('--model', 'tiny@1', '--waves', '50%,10%'), 'AIOT_USAGE', 2],
    ['a malformed wave size', start('--model', 'tiny@1', '--waves', 'half'), 'AIOT_USAGE', 2],
    ['a failure limit above 100%', start('--model', 'tiny@1', '--max-failures', '101%'), 'AIOT_USAGE', 2],
    ['a window without an end', start('--model', 'tiny@1', '--window', '22:00'), 'AIOT_USAGE', 2],
    ['a malformed start time', start('--model', 'tiny@1', '--at', 'tomorrow'), 'AIOT_USAGE', 2],
    ['a number as a start time', start('--model', 'tiny@1', '--at', '7'), 'AIOT_USAGE', 2],
    ['an hour that no clock has', start('--model', 'tiny@1', '--at', '24:30'), 'AIOT_USAGE', 2],
    [
      'a rollback on failure without a version',
      start('--model', 'tiny@1', '--on-failure', 'rollback'),
      'AIOT_USAGE',
      2,
    ],
    [
      'a plan combined with flags',
      ['rollout', 'start', '--plan', 'p.json', '--max-failures', '1'],
      'AIOT_USAGE',
      2,
    ],
    ['a missing plan file', ['rollout', 'start', '--plan', 'nowhere.json'], 'AIOT_FILE_NOT_FOUND', 4],
    ['an unknown rollout', ['rollout', 'show', 'ro_nothing'], 'AIOT_NOT_FOUND', 4],
    ['an unknown rollout to watch', ['rollout', 'watch', 'ro_nothing'], 'AIOT_NOT_FOUND', 4],
  ])('rejects %s', async (_, argv, code, exit) => {
    expect(await refusal(argv)).toMatchObject({ code, exit });
  });

  it('rejects a plan if its selector now matches other devices, and a file that is not a plan', async () => {
    await ok(rolloutPlanSchema, [
      ...['rollout', 'plan', '--model', 'tiny@1', '--selector', 'name!=pump-9', '--out', at('old.json')],
    ]);
    await client.devices.act('pump-8', 'suspend');
    expect(await refusal(['rollout', 'start', '--plan', at('old.json')])).toMatchObject({
      code: 'AIOT_ROLLOUT_PLAN',
    });
    await client.devices.act('pump-8', 'resume');
    await writeFile(at('no.json'), '{"spec":"other"}');
    expect(await refusal(['rollout', 'start', '--plan', at('no.json')])).toMatchObject({
      code: 'AIOT_ROLLOUT_PLAN',
    });
  });

  it('accepts offline devices, and lists those it waits for', async () => {
    const devices = [{ name: 'away-1', digest: '0'.repeat(64) }];
    await client.devices.simulate({ type: 'virtual', devices });
    const argv = [
      'rollout',
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
    expect(run.stderr).toMatch(
      /^1 of 1 device has never connected \(away-1\); wave 1 waits until \d\d:\d\d:\d\d UTC \(--deadline 2s\)$/m,
    );
    expect((await runCli(['rollout', 'watch', rolloutOf(run.stdout)])).stderr).not.toContain('offline');
  });

  it('rejects devices that belong to a rollout of higher priority', async () => {
    answers = { 2: () => null };
    const first = await ok(rolloutSchema, start('--model', 'tiny@2', '--priority', '5'));
    expect(await refusal(start('--model', 'tiny@1'))).toMatchObject({ code: 'AIOT_ROLLOUT_OVERLAP' });
    await ok(rolloutSchema, ['rollout', 'abort', first.id]);
  });
});
