import type { Split } from '../../data/types.js';
import type { SignalSpec, Standardization } from '../../signal/spec.js';
import type { ObjectPoint } from '../bundle/detections.js';
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
   * Index of each example's class, in the network's numbering. A reconstruction has two classes: 0 = normal, 1 = anomaly; unlabeled
   * examples count as normal. All 0 if the network predicts values.
   */
  classes: Int32Array;
  /** Each example's true value if the network predicts values, otherwise null. */
  values: Float32Array | null;
  /** Objects in each picture, if the network finds objects. */
  objects?: ObjectPoint[][];
  /** The recording of each example, if known. A network with state starts anew in each recording. */
  recordings?: readonly string[] | undefined;
}

/** Examples ready for a network, with their origin. */
export interface Examples extends Lesson {
  /**
   * Unit of each example, by which metrics are grouped: the recording's ID, or for a table the row's group. A row without a
   * group is `row N` (from 1, as in the file).
   */
  recordings: string[];
}

export interface Classes {
  /** Class names in the order of the network's outputs; none if the network predicts values. */
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

/** Where the training data comes from. */
export type TrainingSource =
  | { kind: 'recordings' }
  | {
      kind: 'table';
      /** Absolute path, or for the project's own table, the path in aiot.yaml. */
      file: string;
      /** Name of the column with labels or values. */
      label: string;
      columns: string[];
      /** One letter per row, in the file's order: t = training, v = validation, e = evaluation, - = none of them. */
      parts: string;
    };

/** build/training.json: how the adjacent float network was trained, and everything that later steps need. */
export interface TrainingFile {
  spec: 'aiot-training/2';
  model: string;
  /** The network's layers, listed individually; `output` is the kind of prediction. */
  network: NetworkSpec;
  classes: string[];
  /** Class → recorded labels. */
  labels: Record<string, string[]>;
  /**
   * Threshold for the second class: the minimum probability (0.5), or the mean squared distance of a reconstruction from the standardized
   * input, which must be exceeded. For objects, the minimum probability in a cell. Null for classes and values.
   */
  threshold: number | null;
  /** Whether the network's state starts anew in each window; absent = it lasts for a recording. */
  state?: 'window' | undefined;
  /**
   * Temperature by which the outputs are divided before the softmax or sigmoid, chosen on the validation set; null if the probabilities are
   * not calibrated. The file already includes the temperature, because the last layer is scaled.
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
   * Number of rows, including validation, on which the network was trained again for the same number of epochs; null if it was not trained
   * again. `history` is that of the previous training run.
   */
  refitted?: number | null;
  /** Whether a linear model replaced the network; null if no replacement was considered. */
  choice?: Choice | null;
  /** Describes `model.validated.tflite`, the network before it was trained on the validation rows; null if it was not trained on them. */
  chosen?: { digest: string; standardization: Standardization } | null;
  /** Metrics of a linear model on the validation and test sets; null for a reconstruction. */
  baseline?: Baseline | null;
  /** Whether Ctrl-C stopped training before the last epoch. */
  interrupted: boolean;
  seconds: number;
  /** The engine that trained. */
  backend: string;
  /** Leaks in the split, which was used for training nevertheless, as sentences. Leaks make metrics optimistic. */
  leaks: string[];
  /** Additional remarks about the metrics, as sentences. */
  notes: string[];
  /** Digest of model.float.tflite. */
  digest: string;
}
