import * as z from 'zod';

/** Reasons why a column counts as drifted. */
export const reasons = [
  /** The distribution differs: by the Kolmogorov–Smirnov statistic or by χ² over the bins. */
  'distribution',
  'mean',
  /** The mean distance of the column's values from their median differs. */
  'spread',
  /** The share of rows without a number differs. */
  'missing',
  'infinite',
  /** One value repeats for an unusually long time. */
  'stuck',
  /** A category that is missing in the base. */
  'category',
  /** Numbers became text, or text became numbers. */
  'type',
] as const;
export type Reason = (typeof reasons)[number];

/** Moments of a column's finite numbers; null if it has none. */
export const momentsShape = {
  min: z.number().nullable(),
  max: z.number().nullable(),
  mean: z.number().nullable(),
  /** Population standard deviation. */
  deviation: z.number().nullable(),
};

const sideSchema = z.object({
  rows: z.int(),
  /** Number of rows without a number or word; infinities are counted separately. */
  missing: z.int(),
  infinite: z.int(),
  ...momentsShape,
  /** Longest run of consecutive rows with one value. */
  longestRun: z.int(),
});

const sinceSchema = z.object({
  /** Row of NOW, from 1, below the header. */
  row: z.int(),
  /** Share of NOW's rows that come before this row. */
  share: z.number(),
  /** From the time column: a date and time (ISO 8601), or seconds on the column's own scale. */
  time: z.string().nullable(),
  seconds: z.number().nullable(),
});
export type Since = z.output<typeof sinceSchema>;

const featureDriftSchema = z.object({
  name: z.string(),
  kind: z.enum(['number', 'text']),
  unit: z.string().nullable(),
  /** Population stability index over the bins, with 0.01 % assumed for an empty bin. */
  psi: z.number(),
  /** Jensen–Shannon distance over the bins, natural logarithm: 0 to 0.833. */
  js: z.number(),
  /** Kolmogorov–Smirnov statistic over all values; null for text. */
  ks: z.number().nullable(),
  /** p-value of `ks` under the assumption that rows are independent. */
  ksP: z.number().nullable(),
  /** First Wasserstein distance, in the column's unit; and in standard deviations of the base (null if the base is constant). */
  wasserstein: z.number().nullable(),
  wassersteinScaled: z.number().nullable(),
  /** Shift of the mean, in standard deviations of the base; and the standard deviation, as a multiple of the base's. */
  shift: z.number().nullable(),
  spread: z.number().nullable(),
  /** p-value of the change, based on effective sample sizes. Corrected for the several tests of this column, but not across columns. */
  p: z.number(),
  drifted: z.boolean(),
  reasons: z.array(z.enum(reasons)),
  /** Likely cause, such as a change of unit: a guess. */
  hint: z.string().nullable(),
  /** Start of the drift; null if the column has not drifted. */
  since: sinceSchema.nullable(),
  /** Limits that unchanged columns usually stay below; `expectedPsi` is the mean PSI of unchanged columns. */
  limits: z
    .object({ ks: z.number().nullable(), psi: z.number().nullable(), expectedPsi: z.number() })
    .nullable(),
  base: sideSchema,
  now: sideSchema,
  /** Number of independent rows that carry as much information as each side's rows. */
  effective: z.object({ base: z.number(), now: z.number() }),
  /** Shares by bin. Bins of numbers: below the first cut, between cuts, from the last cut on. */
  bins: z.object({
    cuts: z.array(z.number()).nullable(),
    words: z.array(z.string()).nullable(),
    base: z.array(z.number()),
    now: z.array(z.number()),
  }),
  /** Shares in bars of equal width between two values, for charts; null for text. */
  histogram: z
    .object({ from: z.number(), to: z.number(), base: z.array(z.number()), now: z.array(z.number()) })
    .nullable(),
  newCategories: z.array(z.string()),
});
export type FeatureDrift = z.output<typeof featureDriftSchema>;

const jointSchema = z.object({
  /** Area under the ROC curve of a classifier that separates NOW's rows from the base's, on held-out rows; 0.5 = no separation. */
  auc: z.number(),
  interval: z.tuple([z.number(), z.number()]),
  p: z.number(),
  drifted: z.boolean(),
  /** Rows of each side, and the number of independent rows that carry as much information. */
  rows: z.object({ base: z.int(), now: z.int() }),
  effective: z.object({ base: z.number(), now: z.number() }),
  /** The units whose rows are all in one fold. */
  folds: z.enum(['recordings', 'time']),
  /** Pairs of columns whose correlations changed most. */
  pairs: z.array(z.object({ a: z.string(), b: z.string(), base: z.number(), now: z.number() })),
});
export type Joint = z.output<typeof jointSchema>;

export const windowSchema = z.object({
  /** First row, from 1, and number of rows. */
  row: z.int(),
  rows: z.int(),
  /** In the same format as `since`. */
  time: z.string().nullable(),
  seconds: z.number().nullable(),
  drifted: z.boolean(),
  features: z.array(
    z.object({
      name: z.string(),
      psi: z.number(),
      mean: z.number().nullable(),
      missing: z.number(),
      drifted: z.boolean(),
    }),
  ),
});
export type DriftWindow = z.output<typeof windowSchema>;

const inputSchema = z.object({
  name: z.string(),
  from: z.enum(['csv', 'recordings', 'project', 'reference']),
  rows: z.int(),
});

export const driftSchema = z.object({
  base: inputSchema,
  now: inputSchema,
  /** False-positive rate: the probability that a comparison without any change is reported as drift. */
  alpha: z.number(),
  features: z.array(featureDriftSchema),
  /** Whether anything has drifted: a feature, the label, the prediction, or all columns together. */
  drifted: z.boolean(),
  label: featureDriftSchema.nullable(),
  prediction: featureDriftSchema.nullable(),
  /** All columns of numbers together; null if no comparison was possible. */
  joint: jointSchema.nullable(),
  windows: z.array(windowSchema),
  onlyInBase: z.array(z.string()),
  onlyInNow: z.array(z.string()),
  /** Columns that were not compared, and why. */
  ignored: z.array(z.object({ name: z.string(), why: z.string() })),
  /**
   * Whether the base is a saved reference, which contains quantiles instead of values. `ks` is then accurate to 0.002, `wasserstein` to 0.2
   * % of the range.
   */
  approximate: z.boolean(),
  gates: z.array(
    z.object({
      name: z.enum(['drift', 'psi']),
      limit: z.number(),
      got: z.number(),
      passed: z.boolean(),
      message: z.string(),
    }),
  ),
  ok: z.boolean(),
});
export type Drift = z.output<typeof driftSchema>;
