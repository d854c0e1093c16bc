import { createHash } from 'node:crypto';
import { seededRandom, shuffled } from '../src/lib/core/numbers.js';
import type { Fault, FaultKind, Part, Scenario } from './types.js';

/** The part that each kind of fault requires on this machine. */
export const partOf: Partial<Record<FaultKind, Part>> = {
  'disk-full': 'mounts',
  'read-only': 'mounts',
  'sync-error': 'cc',
  'clock-ahead': 'cc',
  'clock-back': 'cc',
  handles: 'prlimit',
  memory: 'prlimit',
};

/** The seed of a round: derived from the run's seed and the round's number, 32 bits. */
export function seedOf(seed: number, round: number): number {
  return createHash('sha256').update(`${seed}/${round}`).digest().readUInt32BE(0);
}

/** Cycles through the scenarios in a seeded order, so that a short run covers each of them. */
export function scenarioOf(scenarios: readonly Scenario[], seed: number, round: number): Scenario {
  const order = shuffled([...scenarios], seededRandom(seedOf(seed, -1)));
  const found = order[(round - 1) % order.length];
  if (!found) throw new Error('no scenario can run here');
  return found;
}

/** The faults of a round, ordered by start time. They depend only on the round's seed. */
export function faultsOf(scenario: Scenario, roundSeed: number, has: (part: Part) => boolean): Fault[] {
  const random = seededRandom(roundSeed);
  const draw = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;
  const possible = Object.entries(scenario.faults).flatMap(([target, kinds]) =>
    kinds.filter((kind) => !partOf[kind] || has(partOf[kind])).map((kind) => ({ target, kind })),
  );
  const { count: [fewest, most] = [1, 3], withinMs = 2000 } = scenario;
  const count = fewest + Math.floor(random() * (most - fewest + 1));
  return Array.from({ length: count }, () => ({
    ...draw(possible),
    atMs: Math.floor(random() * withinMs),
    forMs: 100 + Math.floor(random() * 1400),
  })).sort((a, b) => a.atMs - b.atMs);
}
