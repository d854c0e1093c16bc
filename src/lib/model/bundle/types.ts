import type { NetworkMode } from '../../formats/manifest/manifest.js';
import type { FoldsFigures } from '../../registry/api.js';
import type { SignalSpec, Standardization } from '../../signal/spec.js';
import type { Provenance } from './schema.js';

/** One golden vector: a device must come to the same answers before a version becomes active. */
export interface GoldenVector {
  recording: string;
  /**
   * Raw samples that fill exactly one window from a reset pipeline: [sample][field]. None where the model was trained on a
   * table of features: it is then checked from the features on.
   */
  samples: number[][];
  /** Features before standardization. */
  features: number[];
  /** The network's input and output, in their own types. */
  input: number[];
  output: number[];
  /** The expected answer for that output, threshold included. */
  answer: { label: string | null; value: number | null };
}

/** How well a network does on recordings never trained on. */
export interface Metrics {
  windows: number;
  accuracy: number;
  macroF1: number;
  /** Rows = truth, columns = prediction, in the order of the classes. */
  confusion: number[][];
}

/** Figures of whatever kind of answer, with their intervals where they were taken. */
export interface Figures extends Partial<Metrics> {
  windows: number;
  [figure: string]: unknown;
}

/** Where a model comes from. */
export interface Lineage {
  dataset: { name: string; digest: string; recordings: number; samples: number };
  /** Ids of the recordings in each part. */
  split: { by: string; seed: number; train: string[]; validation: string[]; test: string[] };
  /** Digest of the project file's contents as parsed. */
  configDigest: string;
  /** Version of aiot that made it. */
  aiot: string;
  /** Milliseconds since 1970. */
  created: number;
}

/** One limit of aiot.yaml, and whether the quantized network keeps it. */
interface GateFigures {
  name: string;
  limit: number;
  /** null = not measured, and so not kept. */
  got: number | null;
  passed: boolean;
}

/**
 * What the network's outputs say. `classes`: the greatest one. `probability`: of the second class, named from the threshold
 * on. `value`: real values, in the order of `names`. `reconstruction`: the input again; above the threshold its mean squared
 * distance from the standardized input is the second class.
 */
export type AnswerSpec =
  | { kind: 'classes' }
  | { kind: 'probability'; threshold: number }
  | { kind: 'value'; names: string[] }
  | { kind: 'reconstruction'; threshold: number };

/** Types that a network's input and output can have on a device. */
type EndType = 'int8' | 'int16' | 'float32';

/** Input or output tensor. float32 has scale 1 and zero point 0. */
export interface End {
  type: EndType;
  scale: number;
  zeroPoint: number;
  shape: number[];
}

/** bundle.json: all a device needs besides the network. */
export interface BundleInfo {
  spec: 'aiot-bundle/2';
  kind: 'model';
  name: string;
  signal: SignalSpec;
  standardization: Standardization;
  /** Classes in the order of the network's outputs; none where it answers with values. */
  classes: string[];
  /** Class → recorded labels. */
  labels: Record<string, string[]>;
  answer: AnswerSpec;
  quantization: { mode: NetworkMode };
  /** `none` or `majority:N`. */
  vote: string;
  arenaBytes: number;
  input: End;
  output: End;
  /** `int8` is the quantized network, whatever its mode; `voted` is null where nothing is voted on. */
  metrics: { float: Figures; int8: Figures; voted: Figures | null; folds?: FoldsFigures | undefined };
  /** The limits of aiot.yaml that it was let through. */
  gates: GateFigures[];
  /** Digest of the evaluation that the figures are from. */
  evaluation: string;
  lineage: Lineage;
}

/** bundle.json of a .tflite file alone: nobody knows what goes into it or what its outputs mean. */
export interface NetworkInfo {
  spec: 'aiot-bundle/2';
  kind: 'network';
  name: string;
  quantization: { mode: NetworkMode };
  input: End;
  output: End;
}

/** A .aiot file that devices run: the network, its signal part, golden vectors, and where it all comes from. */
export interface Bundle {
  info: BundleInfo;
  /** A .tflite file. */
  model: Uint8Array;
  golden: GoldenVector[];
  lineage: Provenance;
}

/** A .aiot file of a network alone. */
export interface NetworkBundle {
  info: NetworkInfo;
  model: Uint8Array;
  golden: never[];
  lineage: Provenance;
}
