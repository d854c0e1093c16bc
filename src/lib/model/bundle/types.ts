import type { SignalSpec, Standardization } from '../../signal/index.js';

/** One golden vector: a device must come to the same int8 answers before a version becomes active. */
export interface GoldenVector {
  recording: string;
  /** Raw samples that fill exactly one window from a reset pipeline: [sample][field]. */
  samples: number[][];
  /** Features before standardization. */
  features: number[];
  /** The network's int8 input and output. */
  input: number[];
  output: number[];
}

/** How well a network does on recordings never trained on. */
export interface Metrics {
  windows: number;
  accuracy: number;
  macroF1: number;
  /** Rows = truth, columns = prediction, in the order of the classes. */
  confusion: number[][];
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

/** bundle.json: all a device needs besides the network. */
export interface BundleInfo {
  spec: 'aiot-bundle/1';
  name: string;
  signal: SignalSpec;
  standardization: Standardization;
  /** Classes in the order of the network's outputs. */
  classes: string[];
  /** Class → recorded labels. */
  labels: Record<string, string[]>;
  /** `none` or `majority:N`. */
  vote: string;
  arenaBytes: number;
  input: { scale: number; zeroPoint: number; shape: number[] };
  output: { scale: number; zeroPoint: number; shape: number[] };
  metrics: { float: Metrics; int8: Metrics; voted: Metrics };
  lineage: Lineage;
}

/** A .aiot file: a ustar archive of bundle.json, model.tflite and golden.json, byte-equal for equal contents. */
export interface Bundle {
  info: BundleInfo;
  /** The int8 network, a .tflite file. */
  model: Uint8Array;
  golden: GoldenVector[];
}
