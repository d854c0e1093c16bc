import { z } from 'zod';

export const trainResultSchema = z.object({
  /** Name of the model. */
  model: z.string(),
  /** What the network answers with. */
  output: z.enum(['classes', 'probability', 'value', 'reconstruction']),
  classes: z.array(z.string()),
  /** Of the epoch whose weights were kept; an accuracy is null where there are no classes to be right about. */
  metrics: z.object({
    bestEpoch: z.int(),
    loss: z.number(),
    accuracy: z.number().nullable(),
    valLoss: z.number(),
    valAccuracy: z.number().nullable(),
  }),
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
});
export type TrainResult = z.output<typeof trainResultSchema>;
