import { z } from 'zod';
import { gateNames } from './gates.js';

/** Parts that all evaluations' results share. */
export const intervalSchema = z.tuple([z.number(), z.number()]);

export const intervalsSchema = z.object({
  macroF1: intervalSchema.nullable(),
  auc: intervalSchema.nullable(),
});

export const perClassSchema = z.object({
  class: z.string(),
  support: z.int(),
  precision: z.number(),
  recall: z.number(),
  f1: z.number(),
});

export const calibrationSchema = z.object({
  low: z.number(),
  high: z.number(),
  rows: z.int(),
  confidence: z.number(),
  accuracy: z.number(),
});

export const gateSchema = z.object({
  name: z.enum(gateNames),
  limit: z.number(),
  got: z.number().nullable(),
  passed: z.boolean(),
});

export const refusalSchema = z.object({
  code: z.string(),
  message: z.string(),
  next: z.string(),
  exit: z.int(),
});

const figure = z.number().nullable();

/** What a table and a project's held-out part are both told of: what its kind of output does not have is null. */
export const verdictShape = {
  n: z.int(),
  /** Recordings (or groups of a table's rows) that the examples are from; null where each stands for itself. */
  groups: z.int().nullable(),
  accuracy: figure,
  macroF1: figure,
  /** One class against the rest, averaged; of one probability its own. */
  auc: figure,
  /** 95 %: of the accuracy, with recordings as what was sampled; or of a value's mean absolute error. */
  interval: intervalSchema.nullable(),
  /** 95 %, by drawing whole groups of rows (recordings) again; null where no draw differs, such as without any error. */
  intervals: intervalsSchema,
  calibrationError: figure,
  calibration: z.array(calibrationSchema),
  mae: figure,
  rmse: figure,
  r2: figure,
  /** Names in the order of the outputs; none of a value. */
  classes: z.array(z.string()),
  /** From which probability, or above which reconstruction error, the answer is the second class. */
  threshold: figure,
  perClass: z.array(perClassSchema),
  /** Rows = truth, columns = prediction. */
  confusion: z.array(z.array(z.int())),
};

/** One network's figures on the same rows; those that its kind of output does not have are left out. */
export const networkFiguresSchema = z.object({
  windows: z.int(),
  accuracy: z.number().optional(),
  macroF1: z.number().optional(),
  confusion: z.array(z.array(z.int())).optional(),
  auc: figure.optional(),
  calibrationError: figure.optional(),
  mae: z.number().optional(),
  rmse: z.number().optional(),
  r2: figure.optional(),
});
export type NetworkFigures = z.output<typeof networkFiguresSchema>;

export const outputKindSchema = z.enum(['classes', 'probability', 'value', 'reconstruction']);
