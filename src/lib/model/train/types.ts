import type { Split } from '../../data/types.js';
import type { SignalSpec, Standardization } from '../../signal/spec.js';
import type { Lineage } from '../bundle/types.js';
import type { NetworkSpec } from '../network/layers.js';
import type { Choice } from './learn.js';
import type { Baseline } from './train-project.js';

/** What a network learns from: inputs before standardization, each with what it should be answered with. */
export interface Lesson {
  /** [count × inputs], row-major. */
  inputs: Float32Array;
  /** Numbers in one example's input. */
  inputSize: number;
  /**
   * Index of the class of each example, as the network numbers them. A reconstruction has two: 0 = normal, 1 = anomaly;
   * what nobody labelled counts as normal. All 0 where values are asked for.
   */
  classes: Int32Array;
  /** The true value of each example where the network answers with values, null otherwise. */
  values: Float32Array | null;
}

/** Examples ready for a network, with where they come from. */
export interface Examples extends Lesson {
  /**
   * What each example belongs to, and what figures are to be counted by: the recording's id; of a table the row's group, or
   * `row N` (from 1, as the file has them) where it has none.
   */
  recordings: string[];
}

/** Classes of a model. */
export interface Classes {
  /** In the order of the network's outputs; none where it answers with values. */
  names: string[];
  /** Class → recorded labels. */
  labels: Record<string, string[]>;
}

/** One epoch as it ended. */
export interface EpochFigures {
  /** From 1. */
  epoch: number;
  epochs: number;
  loss: number;
  valLoss: number;
  /** Share of right answers; null where the network answers with values or a reconstruction. */
  accuracy: number | null;
  valAccuracy: number | null;
}

/** Source of the training data. */
export type TrainingSource =
  | { kind: 'recordings' }
  | {
      kind: 'table';
      /** Absolute path. */
      file: string;
      /** Name of the column with labels or values. */
      label: string;
      columns: string[];
      /** One letter a row, in the file's order: t = trained on, v = validation, e = evaluated on, - = none of them. */
      parts: string;
    };

/** build/training.json: how the float network beside it came about, and what every later step needs of it. */
export interface TrainingFile {
  spec: 'aiot-training/2';
  model: string;
  /** Its layers one by one; `output` says what it answers with. */
  network: NetworkSpec;
  classes: string[];
  /** Class → recorded labels. */
  labels: Record<string, string[]>;
  /**
   * Where an answer becomes the second class: a probability from it on (0.5); the mean squared distance of a reconstruction
   * from the standardized input above it. null for classes and values.
   */
  threshold: number | null;
  signal: SignalSpec;
  standardization: Standardization;
  source: TrainingSource;
  split: Split;
  /** Examples in each part. */
  windows: { train: number; validation: number };
  lineage: Lineage;
  history: EpochFigures[];
  /** From 1: the epoch whose weights were kept; 0 where an own program trained. */
  bestEpoch: number;
  /**
   * Rows that the network was trained on again for as many epochs, validation among them; null where it was not. `history` is of
   * the training before that.
   */
  refitted?: number | null;
  /** Whether a linear model took the network's place; null where that was not asked. */
  choice?: Choice | null;
  /** Describes `model.validated.tflite`, the network before it learned from the validation rows; null where it did not. */
  chosen?: { digest: string; standardization: Standardization } | null;
  /** What a linear model reaches on the validation and test part; null for a reconstruction. */
  baseline?: Baseline | null;
  /** Stopped by Ctrl-C before its last epoch. */
  interrupted: boolean;
  seconds: number;
  /** The engine that trained. */
  backend: string;
  /** Leaks of the split that it was trained in spite of, in sentences: figures flatter. */
  leaks: string[];
  /** What else whoever reads the figures should know, in sentences. */
  notes: string[];
  /** Digest of model.float.tflite. */
  digest: string;
}
