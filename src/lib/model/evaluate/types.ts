import type { Metrics } from '../bundle/types.js';
import type { ClassFigures } from './metrics.js';

/** One limit of model.accept, and whether the int8 network keeps it. */
export interface Gate {
  name: 'macroF1' | 'drop' | 'arena';
  limit: number;
  got: number;
  passed: boolean;
}

/** build/evaluation.json: the figures of one int8 network on recordings that it was never trained on. */
export interface EvaluationFile {
  spec: 'aiot-evaluation/1';
  model: string;
  /** Digest of the model.int8.tflite that was measured. */
  digest: string;
  datasetDigest: string;
  classes: string[];
  float: Metrics;
  int8: Metrics;
  /** The int8 file in LiteRT: another right runtime, which rounds otherwise in places. */
  litert: Metrics;
  /** int8 after the vote. */
  voted: Metrics;
  /** Of int8, by class. */
  perClass: ClassFigures[];
  /** 95 % interval of the int8 accuracy (Wilson). */
  interval: [number, number];
  /** Share of windows where the device interpreter and LiteRT name the same class. */
  agreement: number;
  arenaBytes: number;
  gates: Gate[];
  passed: boolean;
}
