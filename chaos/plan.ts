import { createHash } from 'node:crypto';
import { seededRandom, shuffled } from '../src/lib/core/index.js';
import type { Fault, FaultKind, Part, Scenario } from './types.js';

/** What a kind of fault takes of the machine. */
export const partOf: Partial<Record<FaultKind, Part>> = {
  'disk-full': 'mounts',
  'read-only': 'mounts',
  'sync-error': 'cc',
  'clock-ahead': 'cc',
  'clock-back': 'cc',
  handles: 'prlimit',
  memory: 'prlimit',
};

/** The number that a round is made of: of the run's seed and the round's, 32 bits. */
export function seedOf(seed: number, round: number): number {
  return createHash('sha256').update(`${seed}/${round}`).digest().readUInt32BE(0);
}

/** Scenarios in turn, in an order of the seed's, so that a short run has each of them. */
export function scenarioOf(scenarios: readonly Scenario[], seed: number, round: number): Scenario {
  const order = shuffled([...scenarios], seededRandom(seedOf(seed, -1)));
  const found = order[(round - 1) % order.length];
  if (!found) throw new Error('no scenario can run here');
  return found;
}

/** One to three faults of a scenario, in the order in which they begin: of the round's seed alone. */
export function faultsOf(scenario: Scenario, roundSeed: number, has: (part: Part) => boolean): Fault[] {
  const random = seededRandom(roundSeed);
  const draw = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;
  const possible = Object.entries(scenario.faults).flatMap(([target, kinds]) =>
    kinds.filter((kind) => !partOf[kind] || has(partOf[kind])).map((kind) => ({ target, kind })),
  );
  const count = 1 + Math.floor(random() * 3);
  return Array.from({ length: count }, () => ({
    ...draw(possible),
    atMs: Math.floor(random() * 2000),
    forMs: 100 + Math.floor(random() * 1400),
  })).sort((a, b) => a.atMs - b.atMs);
}
