import { z } from 'zod';

const nullable = z.number().nullable();

export const candidateSchema = z.object({
  kind: z.string(),
  layers: z.array(z.int()),
  /** null for rows of a table, which have no signal part to choose. */
  features: z.union([z.string(), z.array(z.string())]).nullable(),
  window: z.int().nullable(),
  stride: z.int().nullable(),
  /** Mean of the score over the inner folds; null where it could not be trained. */
  score: nullable,
  /** Its 95 % interval (Student's t). */
  interval: z.tuple([z.number(), z.number()]).nullable(),
  accuracy: nullable,
  /** Of the int8 network. */
  arenaBytes: z.int().nullable(),
  bytes: z.int().nullable(),
  macs: z.int().nullable(),
  /** Predicted for the chip of the search. */
  latencyUs: nullable,
  /** Limits of model.accept that it breaks, or why it could not be trained, in sentences. */
  refused: z.array(z.string()),
  /** No other is as good in all of score, arena and latency (multiply-adds), and better in one. */
  pareto: z.boolean(),
});
export type Candidate = z.output<typeof candidateSchema>;

/** build/search.json */
export const searchFileSchema = z.object({
  spec: z.literal('aiot-search/1'),
  model: z.string(),
  /** Higher is better, but for rmse. */
  score: z.enum(['macroF1', 'rmse']),
  folds: z.int(),
  /** That latency is predicted for. */
  chip: z.string(),
  seed: z.int(),
  /** The first is what aiot.yaml has now. */
  candidates: z.array(candidateSchema),
  /** Place of the one proposed; null where all are refused. */
  best: z.int().nullable(),
  /** Lines for aiot.yaml. */
  yaml: z.array(z.string()),
  /** Stopped by Ctrl-C before the last candidate. */
  interrupted: z.boolean(),
  datasetDigest: z.string(),
  seconds: z.number(),
  file: z.string(),
});
export type SearchFile = z.output<typeof searchFileSchema>;
