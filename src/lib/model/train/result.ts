import { z } from 'zod';
import type { Proportion } from '../evaluate/intervals.js';
import { type FoldsFile, foldsFileSchema } from './folds/types.js';
import type { TrainingFile } from './types.js';

const figures = z.object({ accuracy: z.number().nullable(), loss: z.number() });

/** See `Choice`. */
export const choiceSchema = z.object({
  kept: z.enum(['network', 'linear']),
  folds: z.int().nullable(),
  rows: z.int(),
  standardError: z.number(),
  network: figures,
  linear: figures,
});

/** See `Baseline`. */
export const baselineSchema = z.object({
  valAccuracy: z.number().nullable(),
  valRmse: z.number().nullable(),
  testAccuracy: z.number().nullable().optional(),
  testRmse: z.number().nullable().optional(),
});

export const trainResultSchema = z.object({
  /** Name of the model. */
  model: z.string(),
  /** What the network answers with. */
  output: z.enum(['classes', 'probability', 'value', 'reconstruction']),
  classes: z.array(z.string()),
  /** Columns of the table that are the network's inputs, in their order; null where it was trained on recordings. */
  inputs: z.array(z.string()).nullable(),
  /** Of the epoch whose weights were kept; an accuracy is null where there are no classes to be right about. */
  metrics: z.object({
    bestEpoch: z.int(),
    loss: z.number(),
    accuracy: z.number().nullable(),
    valLoss: z.number(),
    valAccuracy: z.number().nullable(),
    /** 95 %, of the validation accuracy; and the recordings (or groups of rows) behind it, null where each row stands for itself. */
    valInterval: z.tuple([z.number(), z.number()]).nullable(),
    valGroups: z.int().nullable(),
    /** Root of the mean squared error on the validation part, in the unit of the values. */
    valRmse: z.number().nullable(),
  }),
  /** What a linear model reaches on the same rows; null for a reconstruction. */
  baseline: baselineSchema.nullable(),
  /** Whether a linear model took the network's place on a small table, and why; null where that was not asked. */
  choice: choiceSchema.nullable(),
  /**
   * Rows of a small table that the network was trained on once more, validation among them, after the epoch was chosen; null where
   * that was not done. The metrics are those of the training before, which knew nothing of the validation rows.
   */
  refitted: z.int().nullable(),
  epochs: z.int(),
  seconds: z.number(),
  /** Which engine trained. */
  backend: z.string(),
  /** The float network, a .tflite file. */
  file: z.string(),
  bytes: z.int(),
  digest: z.string(),
  /** Examples: windows of recordings, or rows of a table. */
  windows: z.object({ train: z.int(), validation: z.int() }),
  split: z.string(),
  threshold: z.number().nullable(),
  /** Leaks of the split that it was trained in spite of: figures flatter. */
  leaks: z.array(z.string()),
  /** What was chosen for want of being told. */
  notes: z.array(z.string()),
  /** Where folds were asked for. */
  folds: foldsFileSchema.nullable(),
});
export type TrainResult = z.output<typeof trainResultSchema>;

/**
 * @param valRmse null where no values are answered
 * @param validation how certain the validation accuracy is; null where no class is named
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
  };
}
