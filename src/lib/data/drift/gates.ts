import type { ProjectConfig } from '../../core/index.js';
import type { Drift, FeatureDrift } from './result.js';

export interface DriftLimits {
  /** Nothing may have drifted. */
  none?: boolean | undefined;
  /** Largest PSI of any feature. */
  psi?: number | undefined;
}

/** model.accept.drift: `none`, or the largest PSI. */
export function driftLimits({ accept }: ProjectConfig['model']): DriftLimits {
  const { drift } = accept;
  if (drift === undefined) return {};
  return drift === 'none' ? { none: true } : { psi: drift };
}

/** Limits against what was found; each says in a sentence why it is broken. */
export function driftGates(
  drift: Omit<Drift, 'gates' | 'ok'>,
  { none = false, psi }: DriftLimits,
): Drift['gates'] {
  const { features, label, prediction, joint } = drift;
  const gates: Drift['gates'] = [];
  if (none) {
    const names = [...features, ...(label ? [label] : []), ...(prediction ? [prediction] : [])]
      .filter(({ drifted }) => drifted)
      .map(({ name }) => name);
    if (joint?.drifted) names.push('all columns together');
    const message =
      names.length === 0 ? 'nothing has drifted' : `expected no drift, got it in ${names.join(', ')}`;
    gates.push({ name: 'drift', limit: 0, got: names.length, passed: names.length === 0, message });
  }
  if (psi !== undefined) {
    const worst = features.reduce<FeatureDrift | null>(
      (most, one) => (most && most.psi >= one.psi ? most : one),
      null,
    );
    const got = worst?.psi ?? 0;
    const passed = got <= psi;
    const shown = `${got.toFixed(3)}${worst ? ` of ${worst.name}` : ''}`;
    const message = passed
      ? `largest PSI ${shown}, at most ${psi}`
      : `PSI: expected at most ${psi}, got ${shown}`;
    gates.push({ name: 'psi', limit: psi, got, passed, message });
  }
  return gates;
}
