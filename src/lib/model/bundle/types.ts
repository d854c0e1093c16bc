import type { FoldsFigures } from '../../api/api.js';
import type { NetworkMode } from '../../formats/manifest/manifest.js';
import type { SignalSpec, Standardization } from '../../signal/spec.js';
import type { ExtraOutput } from '../network/join-ends.js';
import type { ObjectGrid } from './detections.js';
import type { Provenance } from './schema.js';

/** One golden vector: a device must produce the same predictions before a version becomes active. */
export interface GoldenVector {
  recording: string;
  /**
   * Raw samples that fill exactly one window from a reset pipeline: [sample][field]. Empty if the model was trained on a table of features;
   * the check then starts at the features.
   */
  samples: number[][];
  /** Features before standardization. */
  features: number[];
  /** The network's input and output, in their own types. */
  input: number[];
  output: number[];
  /** The expected prediction for that output, with the threshold applied. */
  answer: { label: string | null; value: number | null };
}

/** Metrics of a network on recordings that were never used for training. */
export interface Metrics {
  windows: number;
  accuracy: number;
  macroF1: number;
  /** Rows = truth, columns = prediction, in the order of the classes. */
  confusion: number[][];
}

/** Metrics for any kind of prediction, with intervals if they were computed. */
export interface Figures extends Partial<Metrics> {
  windows: number;
  [figure: string]: unknown;
}

export interface Lineage {
  dataset: { name: string; digest: string; recordings: number; samples: number };
  /** IDs of the recordings in each part. */
  split: { by: string; seed: number; train: string[]; validation: string[]; test: string[] };
  /** Digest of the project's settings that determine the trained model. */
  configDigest: string;
  /** Version of aiot that made the bundle. */
  aiot: string;
  /** Milliseconds since 1970. */
  created: number;
}

/** One limit, from aiot.yaml or --gate, and whether the quantized network meets it. */
interface GateFigures {
  name: string;
  limit: number;
  /** null = not measured, and therefore not met. */
  got: number | null;
  passed: boolean;
}

/**
 * Meaning of the network's outputs.
 * - `classes`: the class with the largest output or, with `costs`, the smallest expected cost is predicted, or the label of `reject` if the window is
 *   rejected. `costs` has [true class × predicted class], row-major.
 * - `probability`: probability of the second class, which is predicted if it is at least the threshold.
 * - `value`: real values, in the order of `names`.
 * - `reconstruction`: a reconstruction of the input. The second class is predicted if the mean squared distance from the standardized input exceeds
 *   the threshold.
 * - `objects`: probabilities of the background and of each class for each cell of a grid over a picture, see `detectionsIn`. A cell counts
 *   if a class's probability is at least the threshold.
 */
export type AnswerSpec =
  | { kind: 'classes'; reject?: RejectSpec | undefined; costs?: number[] | undefined }
  | { kind: 'probability'; threshold: number }
  | { kind: 'value'; names: string[] }
  | { kind: 'reconstruction'; threshold: number }
  | ({ kind: 'objects'; threshold: number } & ObjectGrid);

/**
 * Decides whether a window belongs to none of the classes. It is rejected if the predicted class's output is below the minimum, or if the
 * standardized input lies outside that class's radius. Without radii, the decision depends only on the output.
 */
export interface RejectSpec {
  /** Label of rejected windows. This label is not a class. */
  label: string;
  /** Minimum output for each class. */
  minimum: number[];
  /** Maximum distance from each class's center; empty if distances are not used. */
  radius: number[];
  /** Mean standardized input of each class, [classes × inputs], row-major; empty without radii. */
  center: number[];
  /** Weight of each input in the distance: 1 / deviation within the classes; empty without radii. */
  weight: number[];
}

/** Types that a network's input and output can have on a device. */
type EndType = 'int8' | 'int16' | 'float32';

/** Input or output tensor. float32 has scale 1 and zero point 0. */
export interface End {
  type: EndType;
  scale: number;
  zeroPoint: number;
  shape: number[];
}

/** bundle.json: everything that a device needs besides the network. */
export interface BundleInfo {
  spec: 'aiot-bundle/2';
  kind: 'model';
  name: string;
  signal: SignalSpec;
  standardization: Standardization;
  /** Classes in the order of the network's outputs; empty if the network predicts values. */
  classes: string[];
  /** Class → recorded labels. */
  labels: Record<string, string[]>;
  answer: AnswerSpec;
  quantization: { mode: NetworkMode };
  /** `none`, `majority:N` or `average:N`. */
  vote: string;
  /** Whether the network's state starts anew in each window; absent if it lasts for the stream, or if the network has no state. */
  state?: 'window' | undefined;
  arenaBytes: number;
  input: End;
  output: End;
  /** Outputs that follow those of `answer` in the output tensor, which is then float32; absent if there are none. */
  extra?: ExtraOutput[] | undefined;
  /** `int8` is the quantized network, in any quantization mode; `voted` is null without smoothing. */
  metrics: { float: Figures; int8: Figures; voted: Figures | null; folds?: FoldsFigures | undefined };
  /** The limits that applied to the evaluation. */
  gates: GateFigures[];
  /** Digest of the evaluation that produced the metrics. */
  evaluation: string;
  lineage: Lineage;
}

/** bundle.json for a bare .tflite file, whose inputs and outputs have unknown meanings. */
export interface NetworkInfo {
  spec: 'aiot-bundle/2';
  kind: 'network';
  name: string;
  quantization: { mode: NetworkMode };
  input: End;
  output: End;
}

/** A .aiot file that devices run: the network, its signal part, golden vectors, and its lineage. */
export interface Bundle {
  info: BundleInfo;
  /** A .tflite file. */
  model: Uint8Array;
  golden: GoldenVector[];
  lineage: Provenance;
}

/** A network-only .aiot file. */
export interface NetworkBundle {
  info: NetworkInfo;
  model: Uint8Array;
  golden: never[];
  lineage: Provenance;
}
