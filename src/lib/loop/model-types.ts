import type { Bundle, BundleInfo, Predictor } from '../model/index.js';

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
  /** What it was made of: teaching begins with it. A model of another making may have none, and cannot be taught. */
  bundle?: Bundle;
}

/** Keeps the model that is in use, and puts another in its place when one is promoted. */
export interface ModelKeeper {
  /** The one to use now. Asked before each window: it changes while the loop runs. */
  current(): LoadedModel;
  /** The one in use threw, or answered with what is no answer: the one before it comes back, where there is one. */
  misbehaved(model: LoadedModel, error: unknown): void;
  /**
   * Puts a bundle in use that was made here, as by teaching, once its golden vectors are right.
   * @throws AIOT_BUNDLE_MALFORMED, AIOT_GOLDEN_MISMATCH, AIOT_MODEL_UNFIT
   */
  use(bundle: Uint8Array): Promise<LoadedModel>;
  /** Looks now whether another version was promoted, and puts it in use. Never throws: events tell what came of it. */
  check(): Promise<void>;
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

/** What became of the model, as a sentence for people and a word for programs. */
export interface ModelEvent {
  /**
   * `swapped`: another one is in use; `back`: the one before is in use again; `refused`: a version was not taken;
   * `offline` and `online`: the platform went away and came back; `trained`: one was made here; `note`: anything else.
   */
  kind: 'swapped' | 'back' | 'refused' | 'offline' | 'online' | 'trained' | 'note';
  text: string;
}
