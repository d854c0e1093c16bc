import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { rehearsalsSchema } from '../../src/lib/api/rollouts/rehearsal.js';
import {
  type RolloutPlan,
  type RolloutPolicyInput,
  rolloutPlanSchema,
} from '../../src/lib/api/rollouts/schema.js';
import { type RehearseOptions, rehearseAll } from '../../src/lib/fleet/rehearse.js';
import { runCli } from '../support/cli.js';

const made = Date.UTC(2026, 0, 5, 12);
const names = Array.from({ length: 200 }, (_, i) => `press-${i}`);

function planOf(policy: RolloutPolicyInput = {}, more: Partial<RolloutPlan['request']> = {}): RolloutPlan {
  const release = { kind: 'model' as const, name: 'har', version: 2, sequence: 2 };
  return rolloutPlanSchema.parse({
    spec: 'aiot-rollout-plan/1',
    request: {
      ...{ releases: [release], rollback: null, selector: 'all' },
      policy: { waves: ['1%', '10%', '50%'], ...policy },
      ...more,
    },
    waves: [names],
    ...{ offline: [], warnings: [], made },
  });
}

function settingsPlan(policy: RolloutPolicyInput = {}): RolloutPlan {
  const release = { kind: 'settings' as const, name: 'pump', change: { set: { rpm: 900 }, unset: [] } };
  return planOf(policy, { releases: [release], rollback: { ...release, change: null } });
}

const quiet = {
  ...{ seed: 7, loss: 0, latencyMs: [20, 200] as const, offline: 0, failRate: 0 },
  ...{ powerCuts: 0, crashRate: 0, bytesPerSecond: 50_000 },
};
const run = (plan: RolloutPlan, network: Partial<typeof quiet> = {}, more: Partial<RehearseOptions> = {}) =>
  rehearseAll(plan, { runs: 5, bytes: 100_000, outageMs: 0, ...more, network: { ...quiet, ...network } });

describe('a rehearsal', () => {
  it('updates every device with a good version on a good network, in the time that its waves take', async () => {
    const all = await run(planOf());
    expect(all).toMatchObject({
      runs: 5,
      devices: 200,
      trouble: 0,
      stopped: 0,
      ends: [{ state: 'done', runs: 5 }],
    });
    expect([all.tried.p50, all.failed.max, all.left.max]).toEqual([200, 0, 0]);
    // Four consecutive waves, each with two seconds of download and two seconds of startup.
    expect(all.seconds.p50).toBeGreaterThan(4 * 4);
    expect(all.seconds.max).toBeLessThan(60);
    const soaked = await run(planOf({ soakMs: 600_000 }));
    expect(soaked.seconds.p50 - all.seconds.p50).toBeGreaterThanOrEqual(2400);
    expect(soaked.seconds.p50 - all.seconds.p50).toBeLessThan(2500);
    // Predictions are not simulated, but the duration of the shadow is.
    const shadowed = await run(planOf({ shadow: { ms: 600_000 } }));
    expect(shadowed).toMatchObject({ trouble: 0, ends: [{ state: 'done' }] });
    expect(shadowed.seconds.p50 - all.seconds.p50).toBeGreaterThan(2350);
    expect(shadowed.seconds.p50 - all.seconds.p50).toBeLessThan(2500);
  });

  it('applies settings to every device without a download, and later on devices that were offline', async () => {
    const all = await run(settingsPlan());
    expect(all).toMatchObject({ trouble: 0, ends: [{ state: 'done', runs: 5 }] });
    expect([all.tried.p50, all.failed.max, all.left.max]).toEqual([200, 0, 0]);
    expect(all.seconds.max).toBeLessThan((await run(planOf())).seconds.p50);
    const away = await run(settingsPlan(), { offline: 0.3 });
    expect([away.tried.p50, away.failed.max]).toEqual([200, 0]);
    expect(away.seconds.p50).toBeGreaterThan(all.seconds.max);
  });

  it('stops when too many devices reject settings, and restores the former ones on the others', async () => {
    const paused = await run(settingsPlan({ maxFailures: '5%' }), { failRate: 0.5 });
    expect(paused).toMatchObject({ trouble: 1, stopped: 1 });
    expect(paused.ends.map(({ state }) => state)).toEqual(['paused']);
    expect(paused.failed.p50).toBeGreaterThan(0);
    expect(paused.tried.max).toBeLessThan(200);
    const restored = await run(settingsPlan({ maxFailures: '5%', onFailure: 'rollback' }), { failRate: 0.5 });
    expect(restored.ends.map(({ state }) => state)).toEqual(['rolledBack']);
  });

  it('gives the same result with the same seed, and another result with a different seed', async () => {
    const network = { loss: 0.05, offline: 0.1, failRate: 0.02, powerCuts: 0.05 };
    const first = await run(planOf(), network);
    expect(await run(planOf(), network)).toEqual(first);
    expect(await run(planOf(), { ...network, seed: 8 })).not.toEqual({ ...first, seed: 8 });
  });

  it('stops itself on a bad version, and shows how many devices that version reached', async () => {
    const all = await run(planOf({ maxFailures: '5%' }), { failRate: 0.5 });
    expect(all).toMatchObject({
      trouble: 1,
      stopped: 1,
      ends: [{ state: 'paused', code: 'AIOT_ROLLOUT_FAILURES' }],
    });
    // The rollout stops after the first wave, with 2 % of the devices, or after the second, by which 10 % have been
    // offered the release.
    expect(all.tried.max).toBeLessThanOrEqual(20);
    expect(all.failed.max).toBeGreaterThan(0);
    const borne = await run(planOf({ waves: ['100%'], maxFailures: '100%', minSuccess: 0 }), {
      failRate: 0.5,
    });
    expect(borne.tried.max).toBe(200);
    expect(borne.ends).toMatchObject([{ state: 'partly' }]);
  });

  it('is not stopped by devices that are briefly offline when the soak ends', async () => {
    const policy = { waves: ['1%'], maxFailures: '1%', soakMs: 2000 };
    const some = await run(planOf(policy), { offline: 0.02 }, { runs: 10 });
    expect(some).toMatchObject({ stopped: 0, ends: [{ state: 'done', runs: 10 }] });
    expect(some.failed.max).toBe(0);
  });

  it('completes despite power cuts and a broker outage', async () => {
    const plan = planOf({ deadlineMs: 3_600_000, offlineMs: 3_600_000 });
    const calm = await run(plan);
    const rough = await run(plan, { powerCuts: 0.3, loss: 0.1 }, { outageMs: 300_000 });
    expect(rough).toMatchObject({ trouble: 0, ends: [{ state: 'done', runs: 5 }] });
    expect(rough.tried.p50).toBe(200);
    expect(rough.seconds.max).toBeGreaterThan(calm.seconds.max);
  });

  it('waits for the minimum of device-hours, and stops if too many of them have crashes', async () => {
    const policy = { waves: [20], crashFree: { min: '99%', minHours: 100 } };
    const good = await run(planOf(policy), { crashRate: 0.001 }, { runs: 3 });
    expect(good).toMatchObject({ trouble: 0, ends: [{ state: 'done', runs: 3 }] });
    // 20 devices run for 5 hours. After that, 180 more soon exceed the minimum.
    expect(good.seconds.p50).toBeGreaterThan(5 * 3600);
    expect(good.seconds.max).toBeLessThan(5.2 * 3600);
    const bad = await run(planOf(policy), { crashRate: 0.05 }, { runs: 3 });
    expect(bad).toMatchObject({ stopped: 1, ends: [{ state: 'paused', code: 'AIOT_ROLLOUT_CRASHES' }] });
    expect(bad.tried.max).toBe(20);
  });

  it('excludes devices that are never online, and installs several releases one after another', async () => {
    const away = await run(planOf({ deadlineMs: 60_000, offlineMs: 120_000, minSuccess: 0 }), {
      offline: 0.9,
    });
    expect(away.left.max).toBeGreaterThan(0);
    expect(away.trouble).toBe(1);
    const firmware = { kind: 'firmware' as const, name: 'app', version: 3, sequence: 9 };
    const both = planOf();
    const first = await run(both);
    const two = await run(planOf({}, { releases: [firmware, ...both.request.releases] }));
    expect(two).toMatchObject({ trouble: 0 });
    expect(two.seconds.p50).toBeGreaterThan(1.7 * first.seconds.p50);
  });
});

describe('aiot rollout rehearse', () => {
  it('estimates the outcome of a plan without a platform, and rejects an invalid plan', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'aiot-rehearse-'));
    const file = join(folder, 'plan.json');
    await writeFile(file, JSON.stringify(planOf()));
    const argv = ['rollout', 'rehearse', file, '--runs', '3', '--fail-rate', '50%', '--seed', '7'];
    const told = await runCli([...argv, '--json']);
    expect(told.code).toBe(0);
    expect(rehearsalsSchema.parse(told.json)).toMatchObject({
      runs: 3,
      devices: 200,
      trouble: 1,
      stopped: 1,
    });
    const shown = await runCli(argv);
    expect(shown.stdout).toContain('har@2 to 200 devices, rehearsed 3 times with seed 7');
    expect(shown.stdout).toMatch(/paused +3, AIOT_ROLLOUT_FAILURES/);
    expect(shown.stdout).toContain(`aiot rollout start --plan ${file}`);
    for (const [more, code] of [
      [['--loss', '200%'], 'AIOT_USAGE'],
      [['--latency', 'long'], 'AIOT_'],
      [['--runs', '0'], 'AIOT_USAGE'],
      [['--crash-rate', 'often'], 'AIOT_USAGE'],
    ] as const)
      expect((await runCli([...argv, ...more, '--json'])).stdout).toContain(code);
    await writeFile(file, '{}');
    expect((await runCli([...argv, '--json'])).stdout).toContain('AIOT_ROLLOUT_PLAN');
    await rm(folder, { recursive: true });
  });
});
