import type { FeatureSet } from './set.js';

/** The samples themselves, sample after sample: `x[0], y[0], z[0], x[1], …` */
export function rawSet(spec: { fields: string[]; windowSamples: number }): FeatureSet {
  const names: string[] = [];
  for (let s = 0; s < spec.windowSamples; s++) for (const field of spec.fields) names.push(`${field}[${s}]`);
  return {
    names,
    compute(window, out) {
      const fields = window.length;
      for (let f = 0; f < fields; f++) {
        const column = window[f]!;
        for (let s = 0; s < column.length; s++) out[s * fields + f] = column[s]!;
      }
    },
  };
}
