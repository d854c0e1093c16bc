import type { PublishedRun } from '../../src/lib/api/contract/training-runs.js';

const digest = (i: number) => `sha256:${i.toString(16).padStart(64, '0')}`;

export const trainingRunId = (i: number) => `tr_${String(i).padStart(26, '0')}`;

/** A finished training run of the model `watch` with this number, with these changes. */
export function publishedRun(i: number, changes: Partial<PublishedRun> = {}): PublishedRun {
  return {
    ...{ run: trainingRunId(i), kind: 'training', state: 'done', model: 'watch', search: null },
    ...{ started: 1_800_000_000_000 + i * 60_000, ended: 1_800_000_030_000 + i * 60_000 },
    params: {
      'model.kind': 'mlp',
      'model.layers': `${8 * i}`,
      'model.train.epochs': 20 + i,
      'model.output': 'classes',
    },
    ...{ configDigest: digest(i), seed: 1 },
    data: { name: 'motor', digest: digest(999), recordings: 24, samples: 96_000 },
    split: { by: 'recording', digest: digest(998) },
    metrics: {
      valAccuracy: { value: 0.9 + i / 1000, interval: [0.85, 0.95], folds: null },
      floatBytes: { value: 4000 - 100 * i, interval: null, folds: null },
    },
    environment: {
      ...{ aiot: '0.1.0', node: 'v22.0.0', platform: 'linux x64', cpu: 'a CPU', cores: 2, backend: 'fast' },
    },
    ...{ leaks: [], refused: [], error: null },
    ...changes,
  };
}
