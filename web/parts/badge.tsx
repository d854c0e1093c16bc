import type { ComponentChildren } from 'preact';

export type Tone = 'good' | 'bad' | 'warn' | 'blue' | 'soft';

/** A state as a word, so that color is never the only indicator. */
export function Badge({ tone, children }: { tone: Tone; children: ComponentChildren }) {
  return <span class={`badge ${tone}`}>{children}</span>;
}

const tones: Record<string, Tone> = {
  ...{
    active: 'good',
    online: 'good',
    committed: 'good',
    done: 'good',
    succeeded: 'good',
    production: 'good',
  },
  ...{ failed: 'bad', revoked: 'bad', aborted: 'bad', 'rolled-back': 'bad', error: 'bad', missed: 'bad' },
  ...{ suspended: 'warn', paused: 'warn', staging: 'warn', waiting: 'warn', cancelled: 'warn' },
  ...{ running: 'blue', downloading: 'blue', verifying: 'blue', trying: 'blue', provisioned: 'blue' },
};

/** A state in the platform's own words. */
export function State({ state }: { state: string }) {
  return <Badge tone={tones[state.toLowerCase()] ?? 'soft'}>{state}</Badge>;
}
