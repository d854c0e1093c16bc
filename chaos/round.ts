import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { seededRandom } from '../src/lib/core/numbers.js';
import { badlyPrinted } from './invariants/printed.js';
import { orphans } from './invariants/processes.js';
import { faultsOf } from './plan.js';
import type { Servers } from './servers.js';
import type { Fault, Part, Report, Scenario, Violation, World } from './types.js';

/** Duration of the load before the first fault and after the last one, ms. */
const calmMs = 400;

export interface RoundOptions {
  round: number;
  seed: number;
  scenario: Scenario;
  /** Folder of the run. */
  folder: string;
  shim: string | undefined;
  servers: Servers;
  parts: ReadonlySet<Part>;
  /** Number of simulated devices in scenarios that let it be chosen. */
  devices?: number;
  /** Whether to violate an invariant before the check, as a test of the harness. */
  sabotage?: boolean;
}

export interface RoundResult {
  faults: Fault[];
  acknowledged: number;
  violations: Violation[];
}

/**
 * Starts a world, puts it under load, applies the faults, waits for recovery, checks everything, and stops
 * it.
 */
export async function runRound(options: RoundOptions): Promise<RoundResult> {
  const { round, seed, scenario, servers, parts, shim, devices, sabotage = false } = options;
  const violations: Violation[] = [];
  const report: Report = (invariant, detail) =>
    void violations.push({ round, seed, scenario: scenario.name, invariant, detail });
  const has = (part: Part) => parts.has(part);
  const faults = faultsOf(scenario, seed, has);
  const folder = join(options.folder, `round-${round}`);
  await mkdir(folder, { recursive: true });
  const mark = `${process.pid}-${round}-${seed}`;
  let world: World | undefined;
  try {
    const random = seededRandom(seed ^ 0x5eed);
    world = await scenario.start({ folder, mark, random, servers, has, shim, devices, report });
    await underLoad(world, faults, report);
    if (sabotage) await world.sabotage?.();
    await world.check();
  } catch (error) {
    report('the round ends', (error as Error).stack ?? String(error));
  }
  const secrets = world?.secrets() ?? [];
  await world?.stop().catch((error: Error) => report('stops', error.stack ?? error.message));
  if (world) badlyPrinted(world.printed(), secrets, report);
  orphans(mark, report);
  if (world && world.acknowledged() === 0) report('the load works', 'nothing was acknowledged');
  await rm(folder, { recursive: true, force: true }).catch(() => {});
  return { faults, acknowledged: world?.acknowledged() ?? 0, violations };
}

async function underLoad(world: World, faults: readonly Fault[], report: Report): Promise<void> {
  const stop = new AbortController();
  const loading = world.load(stop.signal);
  // The rejection is handled when the load is awaited at its end.
  loading.catch(() => {});
  await delay(calmMs);
  // Faults are sequential within a target, and concurrent across targets.
  const turns = new Map<string, Promise<void>>();
  await Promise.all(
    faults.map(async ({ target, kind, atMs, forMs }) => {
      await delay(atMs);
      const turn = (turns.get(target) ?? Promise.resolve()).then(() =>
        world.targets[target]?.[kind]?.(forMs),
      );
      turns.set(target, turn);
      await turn;
    }),
  );
  await world.recover().catch((error: Error) => report('everything recovers', error.message));
  await delay(calmMs);
  stop.abort();
  await loading;
}
