import * as z from 'zod';
import { refusalSchema } from '../evaluate/result.js';

const resource = z.object({
  /** Bytes needed. */
  need: z.int(),
  /** Bytes available. */
  have: z.int(),
  /** Whether the network fits. */
  fits: z.boolean(),
});

const chipFitSchema = z.object({
  chip: z.string(),
  title: z.string(),
  core: z.string(),
  clockMHz: z.number(),
  flash: resource,
  ram: resource,
  /**
   * Memory for models in aiot's default firmware, with the model's windows and features; null if they are unknown, or if there is no
   * default firmware for the chip.
   */
  firmware: resource.nullable(),
  /** Null for decision trees, for which no costs are published. */
  latency: z
    .object({
      ms: z.number(),
      /** Expected range of the actual latency, ms. */
      range: z.tuple([z.number(), z.number()]),
      cycles: z.int(),
      /** The requested maximum, ms. */
      most: z.number().nullable(),
      fits: z.boolean(),
    })
    .nullable(),
  /** Whether flash, RAM and latency suffice. The firmware may need to be built with more memory. */
  fits: z.boolean(),
  /** Basis of the latency. */
  basis: z.enum(['measured', 'fitted', 'transferred']).nullable(),
  layers: z.array(
    z.object({
      index: z.int(),
      op: z.string(),
      macs: z.int(),
      cycles: z.int(),
      ms: z.number(),
      kernels: z.enum(['library', 'reference']),
    }),
  ),
  sources: z.array(z.object({ title: z.string(), url: z.string() })),
});
export type ChipFit = z.output<typeof chipFitSchema>;

const compared = z.object({
  what: z.string(),
  predicted: z.number(),
  measured: z.number(),
  /** Predicted divided by measured, minus 1. */
  error: z.number(),
});

export const fitSchema = z.object({
  file: z.string(),
  precision: z.string(),
  bytes: z.int(),
  arenaBytes: z.int(),
  macs: z.int(),
  /** Only the named chip if one was named, otherwise all chips. */
  chips: z.array(chipFitSchema),
  measured: z.object({ file: z.string(), reports: z.int(), figures: z.array(compared) }).nullable(),
  fits: z.boolean(),
  notes: z.array(z.string()),
  /** The error if the named chip is too small or too slow. */
  error: refusalSchema.nullable(),
});
export type Fit = z.output<typeof fitSchema>;
