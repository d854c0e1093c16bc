import * as z from 'zod';
import { foldsFiguresSchema } from '../../api/api.js';
import type { Proportion } from '../evaluate/intervals.js';
import { outputKindSchema } from '../evaluate/result.js';
import type { TrainingFile } from './types.js';

const choiceFigures = z.object({ accuracy: z.number().nullable(), loss: z.number() });

/** See `Choice`. */
export const choiceSchema = z.object({
  kept: z.enum(['network', 'linear']),
  folds: z.int().nullable(),
  rows: z.int(),
  standardError: z.number(),
  network: choiceFigures,
  linear: choiceFigures,
});

/** See `Baseline`. */
export const baselineSchema = z.object({
  valAccuracy: z.number().nullable(),
  valRmse: z.number().nullable(),
  testAccuracy: z.number().nullable().optional(),
  testRmse: z.number().nullable().optional(),
});

/** Cross-validation to run: K folds, or one fold per recording (per group, for a table) or per device. */
export type FoldsAsked = { folds: number } | { leaveOneOut: 'recording' | 'device' };

const figures = {
  accuracy: z.number().nullable(),
  macroF1: z.number().nullable(),
  rmse: z.number().nullable(),
};

const interval = z.tuple([z.number(), z.number()]);

/** Mean over the folds, and its 95 % interval (Student's t over the folds); null with fewer than two folds. */
const overFolds = z.object({ mean: z.number(), interval: interval.nullable() });

/** Metric over all tested examples, with a 95 % interval that uses recordings as the sampling unit. */
const pooled = z.object({ value: z.number(), interval: interval.nullable() });

/** build/folds.json: metrics of this float network on unseen data, by cross-validation. */
export const foldsFileSchema = z.object({
  spec: z.literal('aiot-folds/1'),
  model: z.string(),
  by: z.string(),
  folds: z.array(
    z.object({
      groups: z.array(z.string()),
      examples: z.int(),
      /** Labels that no tested example has, so the fold's macro-F1 does not cover them. Empty if the network predicts values. */
      untested: z.array(z.string()),
      bestEpoch: z.int(),
      ...figures,
    }),
  ),
  mean: z.object({
    accuracy: overFolds.nullable(),
    macroF1: overFolds.nullable(),
    rmse: overFolds.nullable(),
  }),
  pooled: z.object({ accuracy: pooled.nullable(), macroF1: pooled.nullable(), rmse: pooled.nullable() }),
  /** A summary, which evaluations, reports and bundles show. */
  together: foldsFiguresSchema,
  /** The smoothing used to compute `together.voted`. */
  vote: z.string(),
  /** Method by which the intervals were computed. */
  method: z.string(),
  classes: z.array(z.string()),
  /** Rows = truth, columns = prediction, over all folds; null if the network predicts values. */
  confusion: z.array(z.array(z.int())).nullable(),
  datasetDigest: z.string(),
  /** Digest of the settings in aiot.yaml that determine the trained model. */
  configDigest: z.string(),
});
export type FoldsFile = z.output<typeof foldsFileSchema>;

export const trainResultSchema = z.object({
  model: z.string(),
  /** The network's kind of prediction. */
  output: outputKindSchema,
  classes: z.array(z.string()),
  /** The table columns that are the network's inputs, in order; null if the network was trained on recordings. */
  inputs: z.array(z.string()).nullable(),
  /** Metrics for the chosen epoch; an accuracy is null without classes. */
  metrics: z.object({
    bestEpoch: z.int(),
    loss: z.number(),
    accuracy: z.number().nullable(),
    valLoss: z.number(),
    valAccuracy: z.number().nullable(),
    /**
     * 95 % interval for the validation accuracy, and the number of recordings (or row groups) on which it is based; null if rows are
     * independent.
     */
    valInterval: z.tuple([z.number(), z.number()]).nullable(),
    valGroups: z.int().nullable(),
    /** Root mean squared error on the validation set, in the unit of the values. */
    valRmse: z.number().nullable(),
  }),
  /** Metrics of a linear model on the same rows; null for a reconstruction. */
  baseline: baselineSchema.nullable(),
  /** Whether a linear model replaced the network on a small table, and why; null if no replacement was considered. */
  choice: choiceSchema.nullable(),
  /**
   * Number of rows in a small table, including validation, on which the network was trained again after the epoch was chosen; null if it
   * was not trained again. The metrics are those of the previous training run, which did not use the validation rows.
   */
  refitted: z.int().nullable(),
  epochs: z.int(),
  seconds: z.number(),
  /** The engine that trained. */
  backend: z.string(),
  /** The float network, a .tflite file. */
  file: z.string(),
  bytes: z.int(),
  digest: z.string(),
  /** Examples: windows of recordings, or rows of a table. */
  windows: z.object({ train: z.int(), validation: z.int() }),
  split: z.string(),
  threshold: z.number().nullable(),
  /** Leaks in the split, which was used for training nevertheless, so that metrics are optimistic. */
  leaks: z.array(z.string()),
  /** Choices that were made by default. */
  notes: z.array(z.string()),
  /** Present if folds were requested. */
  folds: foldsFileSchema.nullable(),
  /** ID of this training run in build/runs; null if it was not recorded. */
  run: z.string().nullable(),
});

export type TrainResult = z.output<typeof trainResultSchema>;

/**
 * @param valRmse null unless values are predicted
 * @param validation how certain the validation accuracy is; null unless a class is predicted
 */
export function resultOf(
  file: string,
  training: TrainingFile,
  bytes: number,
  valRmse: number | null,
  validation: Proportion | null,
  folds: FoldsFile | null,
): TrainResult {
  const { bestEpoch, history } = training;
  const { loss, accuracy, valLoss, valAccuracy } = history[bestEpoch - 1]!;
  return {
    model: training.model,
    output: training.network.output.kind,
    classes: training.classes,
    inputs: training.source.kind === 'table' ? training.source.columns : null,
    metrics: {
      ...{ bestEpoch, loss, accuracy, valLoss, valAccuracy, valRmse },
      valInterval: validation?.interval ?? null,
      valGroups: validation?.groups ?? null,
    },
    baseline: training.baseline ?? null,
    choice: training.choice ?? null,
    refitted: training.refitted ?? null,
    epochs: history.length,
    seconds: training.seconds,
    backend: training.backend,
    file,
    bytes,
    digest: training.digest,
    windows: training.windows,
    split: training.split.by,
    threshold: training.threshold,
    leaks: training.leaks,
    notes: training.notes,
    folds,
    run: null,
  };
}

const nullable = z.number().nullable();

const candidateSchema = z.object({
  kind: z.string(),
  layers: z.array(z.int()),
  /** Null for table rows, which have no signal part to choose. */
  features: z.union([z.string(), z.array(z.string())]).nullable(),
  window: z.int().nullable(),
  stride: z.int().nullable(),
  /** Mean score over the inner folds; null if the candidate could not be trained. */
  score: nullable,
  /** 95 % interval of the score (Student's t). */
  interval: z.tuple([z.number(), z.number()]).nullable(),
  accuracy: nullable,
  /** Arena size for the int8 network in bytes. */
  arenaBytes: z.int().nullable(),
  /** File size of the int8 network. */
  bytes: z.int().nullable(),
  macs: z.int().nullable(),
  /** Predicted latency on the search's chip. */
  latencyUs: nullable,
  /** Violated limits of model.accept, or the reason why the candidate could not be trained, as sentences. */
  refused: z.array(z.string()),
  /**
   * Whether no other candidate is at least as good in score, arena and latency (multiply-adds if unknown), and better in at least one of
   * them.
   */
  pareto: z.boolean(),
});

export type Candidate = z.output<typeof candidateSchema>;

/** build/search.json */
export const searchFileSchema = z.object({
  spec: z.literal('aiot-search/1'),
  model: z.string(),
  /** Higher is better, except for rmse. */
  score: z.enum(['macroF1', 'rmse']),
  folds: z.int(),
  /** Chip for which the latency is predicted. */
  chip: z.string(),
  seed: z.int(),
  /** The candidates; the first is the current aiot.yaml. */
  candidates: z.array(candidateSchema),
  /** Index of the proposed candidate; null if all are rejected. */
  best: z.int().nullable(),
  /** Lines for aiot.yaml. */
  yaml: z.array(z.string()),
  /** Whether Ctrl-C stopped the search before the last candidate. */
  interrupted: z.boolean(),
  datasetDigest: z.string(),
  /** IDs of the candidates in build/runs, in the candidates' order; empty if they were not recorded. */
  runs: z.array(z.string()).default([]),
  seconds: z.number(),
  file: z.string(),
});

export type SearchFile = z.output<typeof searchFileSchema>;
