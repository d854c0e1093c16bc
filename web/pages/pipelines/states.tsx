import type { RunSummary } from '../../../src/lib/api/index.js';
import { Badge, type Tone } from '../../parts/badge.js';

const tones: Record<string, Tone> = {
  ...{ done: 'good', running: 'blue', failed: 'bad' },
  ...{ stopped: 'warn', interrupted: 'warn', cancelled: 'warn' },
};
/** Silence after which a runner is considered gone, ms. A runner reports at least every 30 s. */
const silentMs = 60_000;

export function toneOf(state: string): Tone {
  return tones[state] ?? 'soft';
}

/** The state of a run. If a running one has not sent a report recently, the badge shows that instead. */
export function RunState({ run: { state, told } }: { run: Pick<RunSummary, 'state' | 'told'> }) {
  if (state === 'running' && Date.now() - told > silentMs) return <Badge tone="warn">no recent report</Badge>;
  return <Badge tone={toneOf(state)}>{state === 'stopped' ? 'stopped by a gate' : state}</Badge>;
}
