import type { Split } from '../../data/index.js';
import type { SignalSpec, Standardization } from '../../signal/index.js';
import type { Lineage } from '../bundle/types.js';

/** Windows ready for a network: features before standardization, each with its class. */
export interface Examples {
  /** [count × inputs], row-major. */
  inputs: Float32Array;
  /** Features of one window. */
  inputSize: number;
  /** Index of the class of each window. */
  classes: Int32Array;
  /** Id of the recording of each window. */
  recordings: string[];
}

export interface NetworkSpec {
  kind: 'mlp' | 'cnn1d';
  /** mlp: [features]; cnn1d: [samples, fields]. */
  inputShape: number[];
  /** Units of the hidden layers, or filters of the convolutions. */
  layers: number[];
  classes: number;
}

/** Kernel in the layout of tfjs: dense [in, out], conv1d [taps, in, out]. */
export interface LayerWeights {
  kernel: { shape: number[]; data: Float32Array };
  bias: Float32Array;
}

/** A trained network: convolutions or hidden layers in order, then the output layer, whose softmax is implied. */
export interface TrainedNetwork {
  spec: NetworkSpec;
  layers: LayerWeights[];
}

/** One epoch as it ended. */
export interface EpochFigures {
  /** From 1. */
  epoch: number;
  epochs: number;
  loss: number;
  accuracy: number;
  valLoss: number;
  valAccuracy: number;
}

/** build/training.json: how the float network beside it came about, and what every later step needs of it. */
export interface TrainingFile {
  spec: 'aiot-training/1';
  model: string;
  network: NetworkSpec;
  classes: string[];
  /** Class → recorded labels. */
  labels: Record<string, string[]>;
  signal: SignalSpec;
  standardization: Standardization;
  split: Split;
  /** Windows in each part. */
  windows: { train: number; validation: number };
  lineage: Lineage;
  history: EpochFigures[];
  /** From 1: the epoch whose weights were kept. */
  bestEpoch: number;
  seconds: number;
  /** Digest of model.float.tflite. */
  digest: string;
}

export type Core = typeof import('@tensorflow/tfjs-core');
export type Layers = typeof import('@tensorflow/tfjs-layers');

export interface TensorFlow {
  tf: Core;
  layers: Layers;
}
