import type { quantizeModes } from '../../core/project-schema.js';
import type { Graph } from '../../formats/tflite/graph.js';
import type { calibrations, LayerReport, QuantizeResult } from './result.js';

type QuantizeMode = (typeof quantizeModes)[number];

/** Method that derives an activation's range from the values in the representative rows. */
export type RangeMethod = NonNullable<LayerReport['calibration']>;
export type Calibration = (typeof calibrations)[number];

/** Number format in which an operator computes. */
export type Kind = LayerReport['type'];

export interface QuantizeSettings {
  mode: QuantizeMode;
  /** Type of the network's input and output: `int8` = the mode's own integers (int16 in int16x8). float32 in float modes. */
  io?: 'int8' | 'float32' | undefined;
  /** Default: auto. */
  calibration?: Calibration | undefined;
  biasCorrection?: boolean | undefined;
  equalize?: boolean | undefined;
  /** Operators (by index in the prepared graph) that compute in a kind other than the mode's. */
  kinds?: ReadonlyMap<number, Kind> | undefined;
}

interface QuantizeReport extends Pick<QuantizeResult, 'mode' | 'io' | 'sqnrDb' | 'layers'> {
  /** Remarks for the reader, one sentence each. */
  notes: string[];
}

export interface Quantized {
  graph: Graph;
  report: QuantizeReport;
}
