import type { RunSummary } from '../../../src/lib/registry/index.js';
import { Badge, type Tone } from '../../parts/badge.js';

const tones: Record<string, Tone> = {
  ...{ done: 'good', running: 'blue', failed: 'bad' },
  ...{ stopped: 'warn', interrupted: 'warn', cancelled: 'warn' },
};
/** A runner tells at least each half minute; one that is silent for longer is gone. ms */
const silentMs = 60_000;

export function toneOf(state: string): Tone {
  return tones[state] ?? 'soft';
}

/** A run's state; of one that runs and is silent, that. */
export function RunState({ run: { state, told } }: { run: Pick<RunSummary, 'state' | 'told'> }) {
  if (state === 'running' && Date.now() - told > silentMs) return <Badge tone="warn">not heard of</Badge>;
  return <Badge tone={toneOf(state)}>{state === 'stopped' ? 'stopped by a gate' : state}</Badge>;
}
