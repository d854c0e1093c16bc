import * as z from 'zod';
import { elementCount, type Graph } from '../../formats/tflite/graph.js';
import { foldsFiguresSchema } from '../../registry/api.js';
import { gateNames } from './gates.js';

/** A window (or row) that the network is most wrong about. */
const worstWindowSchema = z.object({
  /** Its recording; of a table its group or row. */
  recording: z.string(),
  /** Number of the window in its recording, from 0; null where the windows are not in their order. */
  window: z.int().nullable(),
  /** Seconds from the recording's start to the window's. */
  startS: z.number().nullable(),
  truth: z.string(),
  predicted: z.string(),
  /** Score of the true class, or the error of a value. */
  score: z.number(),
  /** Samples of each field over the window, thinned to be drawn; null of a table. */
  samples: z
    .object({ fields: z.array(z.string()), seconds: z.number(), values: z.array(z.array(z.number())) })
    .nullable(),
});

export type WorstWindow = z.output<typeof worstWindowSchema>;

/** The meanings that a network's outputs can have. */
export const outputKinds = ['classes', 'probability', 'value', 'reconstruction'] as const;
export const outputKindSchema = z.enum(outputKinds);
export type OutputKind = z.output<typeof outputKindSchema>;

const figure = z.number().nullable();

/** Parts that all evaluations' results share. */
const intervalSchema = z.tuple([z.number(), z.number()]);

const intervalsSchema = z.object({
  macroF1: intervalSchema.nullable(),
  auc: intervalSchema.nullable(),
});

const calibrationSchema = z.object({
  low: z.number(),
  high: z.number(),
  rows: z.int(),
  confidence: z.number(),
  accuracy: z.number(),
});

const perClassSchema = z.object({
  class: z.string(),
  support: z.int(),
  precision: z.number(),
  recall: z.number(),
  f1: z.number(),
});

/** What a table and a project's held-out part are both told of: what its kind of output does not have is null. */
const verdictShape = {
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

const gateSchema = z.object({
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

/** Result of `model evaluate` for a project: both of its networks on examples that they were never trained on. */
export const evaluateResultSchema = z.object({
  model: z.string(),
  /** The quantized network's file in build/. */
  network: z.string(),
  /** Digests of the quantized network and of the data it was measured on. */
  digest: z.string(),
  datasetDigest: z.string(),
  precision: z.string(),
  /** The unit that is counted: windows of recordings, or rows of a table. */
  unit: z.enum(['window', 'row']),
  output: outputKindSchema,
  /** The figures below are the quantized network's on this runtime. */
  runtime: z.enum(['litert', 'device']),
  ...verdictShape,
  /** The float network on LiteRT; the quantized one on the device interpreter (where it runs there) and on LiteRT. */
  float: networkFiguresSchema,
  int8: networkFiguresSchema,
  litert: networkFiguresSchema,
  /** The quantized network's after the vote; null where nothing is voted on. */
  voted: networkFiguresSchema.nullable(),
  /** Figures of a linear model that learned from the same examples; null where none was trained. */
  baseline: z
    .object({ accuracy: z.number().nullable(), rmse: z.number().nullable() })
    .nullable()
    .default(null),
  /** By folds over all recordings, float; null where `model train --folds` has not measured this data with these settings. */
  folds: foldsFiguresSchema.nullable(),
  /** Share of windows in which both runtimes name the same class; null where none is named. */
  agreement: z.number().nullable(),
  worst: z.array(worstWindowSchema),
  bytes: z.int(),
  macs: z.int(),
  /** Null where TFLite Micro refuses it. */
  arenaBytes: z.int().nullable(),
  gates: z.array(gateSchema),
  passed: z.boolean(),
  /** Limits of the figures, in sentences. */
  warnings: z.array(z.string()),
  /** The refusal, when a gate says no. */
  error: refusalSchema.nullable(),
});

export type EvaluateResult = z.output<typeof evaluateResultSchema>;

/** Result of `model evaluate FILE --data rows.csv`. */
export const fileEvaluationSchema = z.object({
  file: z.string(),
  kind: z.enum(['tflite', 'aiot']),
  bytes: z.int(),
  digest: z.string(),
  precision: z.enum(['float32', 'float16', 'dynamic', 'int8', 'int16x8', 'mixed', 'none']),
  data: z.string(),
  dataDigest: z.string(),
  /** Whether rows were standardized with the mean and deviation that the file itself carries. */
  standardized: z.boolean(),
  runtime: z.enum(['litert', 'device']),
  /** How the outputs were interpreted. */
  output: outputKindSchema,
  ...verdictShape,
  /** Rows (from 1) that the network is most wrong about, the worst first. */
  worst: z.array(
    z.object({
      row: z.int(),
      truth: z.string(),
      predicted: z.string(),
      /** Score of the true class, or the error of a value. */
      score: z.number(),
    }),
  ),
  /** The file of raw outputs, when one was asked for. */
  outputs: z.string().nullable(),
  arenaBytes: z.int().nullable(),
  gates: z.array(gateSchema),
  passed: z.boolean(),
  warnings: z.array(z.string()),
  /** The refusal, when a gate says no. */
  error: refusalSchema.nullable(),
});

export type FileEvaluation = z.output<typeof fileEvaluationSchema>;

/** Operators that leave the meaning of an output as it is. */
const passing: readonly string[] = ['DEQUANTIZE', 'QUANTIZE', 'RESHAPE', 'SQUEEZE', 'EXPAND_DIMS'];

/** The operator that makes the network's output, past those that only change its type or shape. */
function lastOperator(graph: Graph): string | undefined {
  const maker = (index: number) => graph.operators.find(({ outputs }) => outputs.includes(index));
  let operator = maker(graph.outputs[0]!);
  while (operator && passing.includes(operator.op)) operator = maker(operator.inputs[0]!);
  return operator?.op;
}

/**
 * What the outputs mean, as far as the file and the labels tell: several = classes; one behind a LOGISTIC, or one beside
 * labels of exactly two kinds, = a probability; any other single one = a value. A reconstruction looks like classes: it has
 * to be said.
 * @param labels of the rows, as written; null = none
 */
export function outputKindOf(graph: Graph, labels: readonly string[] | null): OutputKind {
  const tensor = graph.tensors[graph.outputs[0]!]!;
  if (elementCount(tensor.shape) > 1) return 'classes';
  if (lastOperator(graph) === 'LOGISTIC') return 'probability';
  return labels !== null && new Set(labels).size === 2 ? 'probability' : 'value';
}
