import * as z from 'zod';
import { foldsFiguresSchema } from '../../api/api.js';
import { elementCount, type Graph } from '../../formats/tflite/graph.js';
import { gateNames } from './gates.js';
import { streamFiguresSchema } from './stream.js';

/** A window (or row) among the network's worst predictions. */
const worstWindowSchema = z.object({
  /** The window's recording; for a table, the group or row. */
  recording: z.string(),
  /** Index of the window in its recording, from 0; null if the windows are not in order. */
  window: z.int().nullable(),
  /** Seconds from the start of the recording to the start of the window. */
  startS: z.number().nullable(),
  truth: z.string(),
  predicted: z.string(),
  /** Score of the true class, or the error of a predicted value. */
  score: z.number(),
  /** Each field's samples in the window, thinned for drawing; null for a table. */
  samples: z
    .object({
      fields: z.array(z.string()),
      seconds: z.number(),
      values: z.array(z.array(z.number())),
      /** For a picture: the size that it is reduced to. `values` are its pixels, from left to right and from top to bottom. */
      picture: z.object({ width: z.int(), height: z.int() }).optional(),
    })
    .nullable(),
});

export type WorstWindow = z.output<typeof worstWindowSchema>;

/** The possible meanings of a network's outputs. */
export const outputKinds = ['classes', 'probability', 'value', 'reconstruction', 'objects'] as const;
export const outputKindSchema = z.enum(outputKinds);
export type OutputKind = z.output<typeof outputKindSchema>;

const figure = z.number().nullable();

/** Fields that all evaluation results share. */
const intervalSchema = z.tuple([z.number(), z.number()]);

const intervalsSchema = z.object({
  macroF1: intervalSchema.nullable(),
  auc: intervalSchema.nullable(),
});

/** Rows with a prediction confidence in (low, high]. */
const calibrationSchema = z.object({
  low: z.number(),
  high: z.number(),
  rows: z.int(),
  /** Mean confidence for these rows, and the share that was correct. */
  confidence: z.number(),
  accuracy: z.number(),
});
export type CalibrationBin = z.output<typeof calibrationSchema>;

const perClassSchema = z.object({
  class: z.string(),
  /** Windows of this class. */
  support: z.int(),
  precision: z.number(),
  recall: z.number(),
  f1: z.number(),
});
export type ClassFigures = z.output<typeof perClassSchema>;

/** Metrics common to a table and a project's held-out data; null if they do not apply to the kind of output. */
const verdictShape = {
  n: z.int(),
  /** Number of recordings (or groups of a table's rows) from which the examples come; null if all examples are independent. */
  groups: z.int().nullable(),
  accuracy: figure,
  macroF1: figure,
  /** Area under the ROC curve: for each class against the rest, averaged; or for a single probability. */
  auc: figure,
  /** 95 % interval for the accuracy, with recordings as the sampling unit; for predicted values, for the mean absolute error. */
  interval: intervalSchema.nullable(),
  /** 95 % intervals from resampling whole groups of rows (recordings); null if all draws agree, for example without any errors. */
  intervals: intervalsSchema,
  calibrationError: figure,
  calibration: z.array(calibrationSchema),
  mae: figure,
  rmse: figure,
  r2: figure,
  /** Class names in the order of the outputs; empty for a value. */
  classes: z.array(z.string()),
  /** Threshold for the second class: the minimum probability, or the reconstruction error that must be exceeded. */
  threshold: figure,
  perClass: z.array(perClassSchema),
  /** Rows = truth, columns = prediction. */
  confusion: z.array(z.array(z.int())),
};

/** A row (from 1) among the network's worst predictions. */
const worstSchema = z.object({
  row: z.int(),
  truth: z.string(),
  predicted: z.string(),
  /** Score of the true class, or the error of a predicted value. */
  score: z.number(),
});
export type Worst = z.output<typeof worstSchema>;

/** A network's metrics on labeled rows; null if they do not apply to its kind of output. */
export interface Verdict extends z.output<z.ZodObject<typeof verdictShape>> {
  worst: Worst[];
  /** Index of each row's predicted class; null if no class is predicted. */
  predicted: Int32Array | null;
}

/** One network's metrics on the same rows, without those that do not apply to its kind of output. */
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

/** A share of windows, and its 95 % interval with recordings as the sampling unit. */
const shareSchema = z.object({ windows: z.int(), rejected: figure, interval: intervalSchema.nullable() });

/** Metrics of the rejection of inputs that belong to none of the classes (model.reject). */
export const rejectionSchema = z.object({
  /** Label of rejected windows. */
  label: z.string(),
  /** Share of the validation windows that the thresholds may reject. */
  share: z.number(),
  perClass: z.array(
    z.object({
      class: z.string(),
      /** Number of correctly predicted validation windows from which the thresholds were chosen. */
      validation: z.int(),
      /** Minimum output for this class, and maximum distance from its center; null if the distance is not used. */
      minimum: z.number(),
      radius: z.number().nullable(),
      /** Number of test windows of this class, and the share that is rejected. */
      windows: z.int(),
      rejected: figure,
    }),
  ),
  /** Test windows of the known classes; `accuracy` covers only the windows that are not rejected. */
  known: shareSchema.extend({ accuracy: figure }),
  /**
   * Windows from recordings in model.reject.unknown; null if there are none. `auc`: how well the score separates them from known windows.
   */
  unknown: shareSchema.extend({ recordings: z.int(), auc: figure }).nullable(),
});

export type Rejection = z.output<typeof rejectionSchema>;

/** The quantized network's metrics while one field is missing; null if they do not apply to the kind of output. */
export const sensorDropSchema = z.object({
  /** The recordings' field or the table's column, and the constant that replaces it. */
  field: z.string(),
  value: z.number(),
  accuracy: figure,
  macroF1: figure,
  mae: figure,
  rmse: figure,
  /** Share of windows that model.reject rejects; null without model.reject. */
  rejected: figure,
});

export type SensorDrop = z.output<typeof sensorDropSchema>;

/** Cost of the predictions under model.costs. */
const costSchema = z.object({
  /** Mean cost of a prediction, and its 95 % interval from resampling whole groups of rows; null if all draws agree. */
  mean: z.number(),
  interval: intervalSchema.nullable(),
  /** Mean cost if the class with the largest output were predicted instead. */
  likeliest: z.number(),
});

export type CostFigures = z.output<typeof costSchema>;

/** Result of `model evaluate` for a project: both networks on examples that were never used to train them. */
export const evaluateResultSchema = z.object({
  model: z.string(),
  /** The quantized network's file in build/. */
  network: z.string(),
  /** Digest of the quantized network. */
  digest: z.string(),
  /** Digest of the test data. */
  datasetDigest: z.string(),
  precision: z.string(),
  /** The counted unit: windows of recordings, or rows of a table. */
  unit: z.enum(['window', 'row']),
  output: outputKindSchema,
  /** The runtime on which the metrics below were measured, for the quantized network. */
  runtime: z.enum(['litert', 'device', 'ai-edge-litert']),
  ...verdictShape,
  float: networkFiguresSchema,
  /** The quantized network on the device interpreter, or on LiteRT if no device can run it. */
  int8: networkFiguresSchema,
  /** The quantized network on LiteRT; null if LiteRT cannot run it, for example because it cannot reset a state between recordings. */
  litert: networkFiguresSchema.nullable(),
  /** The quantized network's metrics after smoothing; null without smoothing. */
  voted: networkFiguresSchema.nullable(),
  /** Metrics of the rejection of unknown inputs; null without model.reject. They do not affect the other metrics. */
  rejection: rejectionSchema.nullable().default(null),
  /** Cost of the predictions; null without model.costs. */
  cost: costSchema.nullable().default(null),
  /** Robustness against the failure of one sensor, for each field; null unless it was requested. */
  sensorDrop: z.array(sensorDropSchema).nullable().default(null),
  /** Metrics of a linear model trained on the same examples; null if there is none. */
  baseline: z
    .object({ accuracy: z.number().nullable(), rmse: z.number().nullable() })
    .nullable()
    .default(null),
  /**
   * The float network's metrics from folds over all recordings; null if `model train --folds` has not measured this data with these
   * settings.
   */
  folds: foldsFiguresSchema.nullable(),
  /** Share of windows for which both runtimes predict the same class; null if no class is predicted. */
  agreement: z.number().nullable(),
  worst: z.array(worstWindowSchema),
  bytes: z.int(),
  macs: z.int(),
  /** Null if TFLite Micro rejects it. */
  arenaBytes: z.int().nullable(),
  gates: z.array(gateSchema),
  passed: z.boolean(),
  /** Detections and false alarms in a simulated stream, if one was requested. */
  stream: streamFiguresSchema.optional(),
  /** The metrics' limitations, as sentences. */
  warnings: z.array(z.string()),
  /** The error, if a gate failed. */
  error: refusalSchema.nullable(),
});

export type EvaluateResult = z.output<typeof evaluateResultSchema>;

/** Result of `model evaluate FILE --data rows.csv`. */
export const fileEvaluationSchema = z.object({
  file: z.string(),
  kind: z.enum(['tflite', 'aiot']),
  bytes: z.int(),
  digest: z.string(),
  precision: z.enum(['float32', 'float16', 'dynamic', 'int8', 'int16x8', 'mixed', 'forest', 'none']),
  data: z.string(),
  dataDigest: z.string(),
  /** Whether rows were standardized with the mean and deviation stored in the file. */
  standardized: z.boolean(),
  runtime: z.enum(['litert', 'device', 'ai-edge-litert']),
  /** Interpretation of the outputs. */
  output: outputKindSchema,
  ...verdictShape,
  /** The worst rows, worst first. */
  worst: z.array(worstSchema),
  /** The file with raw outputs, if one was requested. */
  outputs: z.string().nullable(),
  arenaBytes: z.int().nullable(),
  gates: z.array(gateSchema),
  passed: z.boolean(),
  warnings: z.array(z.string()),
  /** The error, if a gate failed. */
  error: refusalSchema.nullable(),
});

export type FileEvaluation = z.output<typeof fileEvaluationSchema>;

/** Operators that preserve the meaning of an output. */
const passing: readonly string[] = ['DEQUANTIZE', 'QUANTIZE', 'RESHAPE', 'SQUEEZE', 'EXPAND_DIMS'];

/** The operator that computes the network's output, ignoring operators that only change the type or shape. */
function lastOperator(graph: Graph): string | undefined {
  const maker = (index: number) => graph.operators.find(({ outputs }) => outputs.includes(index));
  let operator = maker(graph.outputs[0]!);
  while (operator && passing.includes(operator.op)) operator = maker(operator.inputs[0]!);
  return operator?.op;
}

/**
 * Infers the meaning of the outputs from the file and the labels. Several outputs are classes. A single output after a LOGISTIC, or with
 * exactly two distinct labels, is a probability; any other single output is a value. A reconstruction looks like classes, so it must be
 * specified.
 * @param the rows' labels, as written; null = none
 */
export function outputKindOf(graph: Graph, labels: readonly string[] | null): OutputKind {
  const tensor = graph.tensors[graph.outputs[0]!]!;
  if (elementCount(tensor.shape) > 1) return 'classes';
  if (lastOperator(graph) === 'LOGISTIC') return 'probability';
  return labels !== null && new Set(labels).size === 2 ? 'probability' : 'value';
}
