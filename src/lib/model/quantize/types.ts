import type { quantizeModes } from '../../core/project-schema.js';
import type { Graph } from '../../formats/tflite/graph.js';

export type QuantizeMode = (typeof quantizeModes)[number];

/** How the range of an activation is taken from what the representative rows give. */
export type RangeMethod = 'min-max' | 'percentile' | 'mse';
export const calibrations = ['auto', 'min-max', 'percentile', 'mse'] as const;
export type Calibration = (typeof calibrations)[number];

/** Number format that an operator computes in. */
export type Kind = 'int8' | 'int16' | 'float32';

export interface QuantizeSettings {
  mode: QuantizeMode;
  /** Type of the network's input and output: `int8` = the mode's own integers (int16 in int16x8). float32 in float modes. */
  io?: 'int8' | 'float32' | undefined;
  /** Default: auto. */
  calibration?: Calibration | undefined;
  biasCorrection?: boolean | undefined;
  equalize?: boolean | undefined;
  /** Operators (by index in the prepared graph) that compute on something else than the mode says. */
  kinds?: ReadonlyMap<number, Kind> | undefined;
}

/** One tensor of the float network and what became of it. */
export interface LayerReport {
  /** The operator that makes it in the float network, `input` for the network's input. */
  op: string;
  tensor: string;
  type: Kind;
  /** How its range was found; null where it has none (float32) or has none of its own (fixed, or its input's). */
  calibration: RangeMethod | null;
  scale: number | null;
  zeroPoint: number | null;
  /** Signal to quantization noise against the float network, decibels; null when no rows were given. */
  sqnrDb: number | null;
}

interface QuantizeReport {
  mode: QuantizeMode;
  /** Type of the network's input and output. */
  io: Kind;
  /** Signal-to-noise ratio of the network's output, decibels; null when no rows were given. */
  sqnrDb: number | null;
  layers: LayerReport[];
  /** Remarks for the reader, a sentence each. */
  notes: string[];
}

export interface Quantized {
  graph: Graph;
  report: QuantizeReport;
}
