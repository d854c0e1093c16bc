import { z } from 'zod';
import { foldsFiguresSchema } from '../../../registry/index.js';

/** How to measure: K parts, each tested on once, or each recording, device or group by itself. */
export type FoldsAsked = { folds: number } | { leaveOneOut: 'recording' | 'device' };

const interval = z.tuple([z.number(), z.number()]);
/** Mean over the folds, and its 95 % interval (Student's t over the folds); null with fewer than two folds. */
const overFolds = z.object({ mean: z.number(), interval: interval.nullable() });
/** Over all tested examples together, and its 95 % interval with recordings as what was sampled. */
const pooled = z.object({ value: z.number(), interval: interval.nullable() });

const figures = {
  accuracy: z.number().nullable(),
  macroF1: z.number().nullable(),
  rmse: z.number().nullable(),
};

/** build/folds.json: how well this network does on what it was not trained on, by leaving out each part once. Float. */
export const foldsFileSchema = z.object({
  spec: z.literal('aiot-folds/1'),
  model: z.string(),
  by: z.string(),
  folds: z.array(
    z.object({ groups: z.array(z.string()), examples: z.int(), bestEpoch: z.int(), ...figures }),
  ),
  mean: z.object({
    accuracy: overFolds.nullable(),
    macroF1: overFolds.nullable(),
    rmse: overFolds.nullable(),
  }),
  pooled: z.object({ accuracy: pooled.nullable(), macroF1: pooled.nullable(), rmse: pooled.nullable() }),
  /** The same in brief, as evaluations, reports and bundles show it. */
  together: foldsFiguresSchema,
  /** The vote that `together.voted` was counted with. */
  vote: z.string(),
  /** How the intervals were taken. */
  method: z.string(),
  classes: z.array(z.string()),
  /** Rows = truth, columns = answer, over all folds; null where values are answered. */
  confusion: z.array(z.array(z.int())).nullable(),
  datasetDigest: z.string(),
  /** Of the settings of aiot.yaml that decide what a model becomes. */
  configDigest: z.string(),
});
export type FoldsFile = z.output<typeof foldsFileSchema>;
