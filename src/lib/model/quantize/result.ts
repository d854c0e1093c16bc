import * as z from 'zod';
import { quantizeModes } from '../../core/project-schema.js';

/** Methods by which a range is derived from values: the user's choice. */
export const calibrations = ['auto', 'min-max', 'percentile', 'mse'] as const;

const kind = z.enum(['int8', 'int16', 'float32']);
/** Scale and zero point of the network's input or output; null for float32. */
const end = z.object({ scale: z.number(), zeroPoint: z.int() }).nullable();

/** One tensor of the float network and its quantized form. */
const layerSchema = z.object({
  /** The operator that computes the tensor, or `input` for the network's input. */
  op: z.string(),
  tensor: z.string(),
  type: kind,
  /** How the range was chosen; null if the tensor has no range (float32) or none of its own (fixed, or its input's). */
  calibration: z.enum(['min-max', 'percentile', 'mse']).nullable(),
  scale: z.number().nullable(),
  zeroPoint: z.int().nullable(),
  /** Signal-to-noise ratio against the float model, in dB, capped at 150; null if not measured. */
  sqnrDb: z.number().nullable(),
});
export type LayerReport = z.output<typeof layerSchema>;

/** Loss from quantization on labeled rows, as shares of the rows. */
const lossSchema = z.object({
  rows: z.int(),
  /** Whether ranges were calibrated on the same rows (--evaluate selects others). If so, the loss on other data may be larger. */
  calibrated: z.boolean(),
  float: z.number(),
  quantized: z.number(),
  /** float − quantized, in percentage points; its 95 % interval for paired rows, and the method used. */
  points: z.number(),
  interval: z.tuple([z.number(), z.number()]),
  method: z.string(),
  /** The limit of --max-loss, and whether the loss is within it; null without a limit. */
  limit: z.number().nullable(),
  passed: z.boolean().nullable(),
});
export type Loss = z.output<typeof lossSchema>;

const stepSchema = z.object({
  /** Description of the attempt. */
  did: z.string(),
  points: z.number(),
  interval: z.tuple([z.number(), z.number()]),
  sqnrDb: z.number().nullable(),
});
export type FallbackStep = z.output<typeof stepSchema>;

/** A network compiled for the Edge TPU. */
export const edgeTpuSchema = z.object({
  /** NAME_edgetpu.tflite */
  file: z.string(),
  bytes: z.int(),
  digest: z.string(),
  /** Digest of the network that was compiled. */
  from: z.string(),
  /** Version of the compiler; null = the compiler did not print it. */
  compiler: z.string().nullable(),
  /** Operators of the original network, and where each operator runs according to the compiler. */
  ops: z.array(z.object({ op: z.string(), count: z.int(), onTpu: z.boolean(), status: z.string() })),
});

export const quantizeResultSchema = z.object({
  model: z.string(),
  mode: z.enum(quantizeModes),
  /** Type of the network's input and output. */
  io: kind,
  /** The quantized network, a .tflite file. */
  file: z.string(),
  bytes: z.int(),
  /** Size of the float network's file. */
  floatBytes: z.int(),
  digest: z.string(),
  /** The file's operators, in order. */
  ops: z.array(z.object({ op: z.string(), version: z.int() })),
  /** Number of representative rows on which the ranges were calibrated. */
  windows: z.int(),
  /** Whether rows were standardized with the mean and deviation stored in the file. */
  standardized: z.boolean(),
  /**
   * Output signal-to-noise ratio against the float model, in dB, capped at 150; null without representative rows. With several outputs, the
   * lowest ratio.
   */
  sqnrDb: z.number().nullable(),
  /** The first input and the first output. */
  input: end,
  output: end,
  /** All inputs and outputs, in file order. */
  inputs: z.array(end),
  outputs: z.array(end),
  /** Every activation with its type, range and noise, in the float network's order. */
  layers: z.array(layerSchema),
  /** Attempts to meet --max-loss, in order; the last attempt was written. */
  steps: z.array(stepSchema),
  loss: lossSchema.nullable(),
  /** Bytes that TFLite Micro needs in addition to the file; null if TFLite Micro cannot run the network. */
  arenaBytes: z.int().nullable(),
  /** Additional files written by --emit. */
  emitted: z.array(z.string()),
  notes: z.array(z.string()),
  /** Present only with --target edgetpu. */
  edgetpu: edgeTpuSchema.optional(),
});
export type QuantizeResult = z.output<typeof quantizeResultSchema>;
