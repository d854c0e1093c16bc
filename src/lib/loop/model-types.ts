import type { BundleInfo, Predictor } from '../model/index.js';

/** A bundle whose golden vectors came out right on this machine. */
export interface LoadedModel {
  name: string;
  /** Of the registry; null where it is a file of this machine. */
  version: number | null;
  digest: string;
  info: BundleInfo;
  /** `coral` where that is what it runs on. */
  delegate: 'cpu' | 'coral';
  createPredictor(): Predictor;
}

/** Keeps the model that is in use, and puts another in its place when one is promoted. */
export interface ModelKeeper {
  /** The one to use now. Asked before each window: it changes while the loop runs. */
  current(): LoadedModel;
  /** The one in use threw, or answered with what is no answer: the one before it comes back, where there is one. */
  misbehaved(model: LoadedModel, error: unknown): void;
  state(): ModelState;
  close(): Promise<void>;
}

export interface ModelState {
  name: string;
  version: number | null;
  digest: string;
  source: 'platform' | 'cache' | 'file' | 'trained';
  delegate: 'cpu' | 'coral';
  /** Since the loop began. */
  swaps: number;
  /** Digests that were tried and taken back, or failed their golden vectors. */
  refused: string[];
  lastError: string | null;
}
