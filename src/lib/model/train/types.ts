import type { Split } from '../../data/types.js';
import type { SignalSpec, Standardization } from '../../signal/spec.js';
import type { Lineage } from '../bundle/types.js';
import type { NetworkSpec } from '../network/layers.js';
import type { Choice } from './learn.js';
import type { Baseline } from './train-project.js';

/** Examples for a network: inputs before standardization, each with its target. */
export interface Lesson {
  /** [count × inputs], row-major. */
  inputs: Float32Array;
  /** Size of one example's input. */
  inputSize: number;
  /**
   * Index of the class of each example, in the network's numbering. A reconstruction has two: 0 = normal, 1 = anomaly; unlabeled examples
   * count as normal. All 0 if values are predicted.
   */
  classes: Int32Array;
  /** The true value of each example if the network predicts values, null otherwise. */
  values: Float32Array | null;
}

/** Examples ready for a network, with their origin. */
export interface Examples extends Lesson {
  /**
   * Unit that each example belongs to and that metrics are grouped by: the recording's ID, or for a table the row's group. A row without a
   * group is `row N` (from 1, as in the file).
   */
  recordings: string[];
}

export interface Classes {
  /** In the order of the network's outputs; none if it predicts values. */
  names: string[];
  /** Class → recorded labels. */
  labels: Record<string, string[]>;
}

/** Result of one epoch. */
export interface EpochFigures {
  /** From 1. */
  epoch: number;
  epochs: number;
  loss: number;
  valLoss: number;
  /** Share of correct predictions; null if the network predicts values or a reconstruction. */
  accuracy: number | null;
  valAccuracy: number | null;
}

/** Source of the training data. */
export type TrainingSource =
  | { kind: 'recordings' }
  | {
      kind: 'table';
      /** Absolute path; for the project's own table, the path given in aiot.yaml. */
      file: string;
      /** Name of the column with labels or values. */
      label: string;
      columns: string[];
      /** One letter per row, in the file's order: t = training, v = validation, e = evaluation, - = none of them. */
      parts: string;
    };

/** build/training.json: how the float network next to it was trained, and everything that later steps need. */
export interface TrainingFile {
  spec: 'aiot-training/2';
  model: string;
  /** Its layers, listed individually; `output` is its kind of prediction. */
  network: NetworkSpec;
  classes: string[];
  /** Class → recorded labels. */
  labels: Record<string, string[]>;
  /**
   * Threshold of the second class. For a probability, this is the minimum (0.5). For a reconstruction, the mean squared distance from the
   * standardized input must exceed it. Null for classes and values.
   */
  threshold: number | null;
  /**
   * Temperature by which the outputs are divided before the softmax or sigmoid, chosen on the validation set; null if the shares are not
   * calibrated. The file contains it: the last layer is scaled.
   */
  temperature?: number | null;
  signal: SignalSpec;
  standardization: Standardization;
  source: TrainingSource;
  split: Split;
  /** Examples in each part. */
  windows: { train: number; validation: number };
  lineage: Lineage;
  history: EpochFigures[];
  /** Epoch whose weights were chosen, from 1; 1 if a custom program trained the network. */
  bestEpoch: number;
  /**
   * Number of rows, including validation, on which the network was trained again for the same number of epochs; null if it was not.
   * `history` is that of the previous training.
   */
  refitted?: number | null;
  /** Whether a linear model replaced the network; null if that was not considered. */
  choice?: Choice | null;
  /** Describes `model.validated.tflite`, the network before it was trained on the validation rows; null if it was not. */
  chosen?: { digest: string; standardization: Standardization } | null;
  /** Metrics of a linear model on the validation and test set; null for a reconstruction. */
  baseline?: Baseline | null;
  /** Stopped by Ctrl-C before its last epoch. */
  interrupted: boolean;
  seconds: number;
  /** The engine that trained. */
  backend: string;
  /** Leaks of the split that was nevertheless used for training, as sentences: metrics are optimistic. */
  leaks: string[];
  /** Further information for the reader of the metrics, as sentences. */
  notes: string[];
  /** Digest of model.float.tflite. */
  digest: string;
}
