import { z } from 'zod';
import { chanceOf } from '../../device/index.js';
import { type RolloutPlan, rolloutStates } from '../../registry/index.js';
import { type Rehearsal, type RehearsalOptions, rehearse } from './rehearse.js';

const figures = z.object({ p50: z.number(), p90: z.number(), p99: z.number(), max: z.number() });
const share = z.number().min(0).max(1);

export const rehearsalsSchema = z.object({
  runs: z.int(),
  seed: z.int(),
  devices: z.int(),
  /** Of the runs: they ended otherwise than with every device. */
  trouble: share,
  /** Of the runs: they stopped themselves. */
  stopped: share,
  /** How many ended how. */
  ends: z.array(
    z.object({ state: z.enum([...rolloutStates, 'unended']), code: z.string().nullable(), runs: z.int() }),
  ),
  /** From the beginning until it ended, or stood still, s. */
  seconds: figures,
  /** Devices that booted it. */
  tried: figures,
  /** Devices that tried it and went back, or refused it. */
  failed: figures,
  /** Devices that were not there, not asked, or taken out. */
  left: figures,
});
export type Rehearsals = z.output<typeof rehearsalsSchema>;

export interface RehearseOptions extends Omit<RehearsalOptions, 'outageAt' | 'observer'> {
  runs: number;
  /** Between two of them, so that whoever waits may stop it. @throws */
  onRun?: (done: number) => Promise<void> | void;
}

/** In these minutes, as chance has it, an outage begins. */
const outageWithinMs = 600_000;

/** Rehearses a plan so often, each time with other chances; the same seed has the same. */
export async function rehearseAll(plan: RolloutPlan, options: RehearseOptions): Promise<Rehearsals> {
  const { runs, network, bytes, outageMs, onRun } = options;
  const all: Rehearsal[] = [];
  for (let run = 0; run < runs; run++) {
    const seed = Math.floor(chanceOf(network.seed, run) * 2 ** 31);
    const outageAt = Math.floor(chanceOf(network.seed, run, 1) * outageWithinMs);
    all.push(rehearse(plan, { network: { ...network, seed }, bytes, outageMs, outageAt }));
    await onRun?.(run + 1);
  }
  const of = (value: (rehearsal: Rehearsal) => number) => figuresOf(all.map(value));
  return {
    ...{ runs, seed: network.seed, devices: plan.waves.flat().length },
    trouble: all.filter(({ state }) => state !== 'done').length / runs,
    stopped: all.filter(({ state }) => state === 'paused' || state === 'rolledBack').length / runs,
    ends: endsOf(all),
    seconds: of(({ ms }) => ms / 1000),
    tried: of(({ tried }) => tried),
    failed: of(({ failed }) => failed),
    left: of(({ left }) => left),
  };
}

function endsOf(all: readonly Rehearsal[]): Rehearsals['ends'] {
  const found = new Map<string, Rehearsals['ends'][number]>();
  for (const { state, code } of all) {
    const entry = found.get(`${state} ${code}`) ?? { state, code, runs: 0 };
    entry.runs++;
    found.set(`${state} ${code}`, entry);
  }
  return [...found.values()].sort((a, b) => b.runs - a.runs);
}

function figuresOf(values: number[]): z.output<typeof figures> {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (part: number) => sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))]!;
  return { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: sorted.at(-1)! };
}
