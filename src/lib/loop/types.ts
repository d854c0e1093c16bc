import type { Detection } from '../model/bundle/detections.js';
import type { Predictor } from '../model/bundle/predictor.js';
import type { Bundle, BundleInfo } from '../model/bundle/types.js';
import type { SampleSource } from '../sensor/types.js';

/** Properties of a source's samples, measured since it was opened. */
export interface Rates {
  samples: number;
  /** Number of samples that are known to be missing, because the sensor reported them or the times have gaps. */
  lost: number;
  gaps: number;
  /** Measured sample rate, Hz; null until there are enough samples. */
  rateHz: number | null;
  /** 99 of 100 intervals between samples deviate from the mean by at most this, ms. */
  jitterP99Ms: number | null;
}

/**
 * A source in the contract's fields, units and rate. A batch with `lost` above 0 does not follow the previous one. The reader must then
 * reset, because a window must not include a break. Bridged gaps (a few samples) appear only in `rates()`.
 */
export interface Sensing extends SampleSource {
  /** Rate of the contract, or else of the sensor, or else 1. */
  readonly rateHz: number;
  /** Rate of the received samples, before resampling. */
  rates(): Rates;
  /** Whether the sensor is plugged in, or its broker is reachable. Absent = always connected. */
  readonly connected?: boolean;
  /**
   * For sensors that wait for a reply (`tcp:`): the result for the samples of the current batch. Call it before requesting the next batch.
   * A client that has no result by then receives only an acknowledgment of the sample.
   */
  reply?(answer: Answer): void;
}

/** The prediction for one window. */
export interface Answer {
  /** Time of the last sample in the window, ms since 1970. */
  t: number;
  /** Sequence number since the loop began, from 0. */
  window: number;
  /** Class of this window; null if the model returns values. */
  label: string | null;
  /** Class after smoothing; null if smoothing has no result yet or does not apply. */
  voted: string | null;
  /** The model's output: a probability for each class, the values, or the reconstruction error. */
  scores: readonly number[];
  value: number | null;
  /** Objects in a picture, strongest first; absent if the model does not find objects. */
  detections?: readonly Detection[];
  /** Values of the model's other outputs, by name; absent if there are none. */
  extra?: Readonly<Record<string, readonly number[]>>;
  /** Time from the arrival of the window's last sample to this prediction, ms. */
  latencyMs: number;
  /** Whether the smoothed result has changed. */
  changed: boolean;
  model: { name: string; version: number | null };
}

/** Destinations of predictions. `put` never waits: undeliverable messages are spooled on disk, within limits. */
export interface Outputs {
  put(answer: Answer): void;
  /** Resolves when everything passed so far has been delivered, or is on disk. */
  settled(): Promise<void>;
  states(): OutputState[];
  /** Closes after delivering as much as possible. */
  close(): Promise<void>;
}

export interface OutputState {
  /** Address of the destination, without credentials. */
  endpoint: string;
  connected: boolean;
  sent: number;
  /** Number of messages on disk that are not sent yet. */
  waiting: number;
  /** Number of messages dropped at the limit, or permanently rejected. */
  dropped: number;
  lastError: string | null;
}

/** Backend that runs the model: the built-in interpreter, a Coral Edge TPU, or the Python package ai-edge-litert. */
export type Delegate = 'cpu' | 'coral' | 'ai-edge-litert';

/** A bundle that reproduced its golden vectors on this machine. */
export interface LoadedModel {
  name: string;
  /** Version in the registry; null for a local file. */
  version: number | null;
  digest: string;
  info: BundleInfo;
  /** Changes to `cpu` if the backend fails while the loop runs. */
  readonly delegate: Delegate;
  createPredictor(): Predictor;
  /** Ends a process that runs the model. The next prediction starts it again. Absent if there is no such process. */
  release?(): void;
  /** The bundle from which the model was loaded. Teaching starts with it, so a model without a bundle cannot be taught. */
  bundle?: Bundle;
}

/** Provides the model in use, and replaces it when another one is promoted. */
export interface ModelKeeper {
  /** The model to use now. Called before each window, because the model can change while the loop runs. */
  current(): LoadedModel;
  /** Called if the model in use threw, or returned an invalid prediction. Rolls back to the previous model, if there is one. */
  misbehaved(model: LoadedModel, error: unknown): void;
  /**
   * Activates a bundle that was made here, for example by teaching, after verifying that it reproduces its golden vectors.
   * @throws AIOT_BUNDLE_MALFORMED, AIOT_GOLDEN_MISMATCH, AIOT_MODEL_UNFIT
   */
  use(bundle: Uint8Array): Promise<LoadedModel>;
  /** Checks now whether another version was promoted, and activates it. Never throws; the result is reported as events. */
  check(): Promise<void>;
  state(): ModelState;
  close(): Promise<void>;
}

export interface ModelState {
  name: string;
  version: number | null;
  digest: string;
  source: 'platform' | 'cache' | 'file' | 'trained';
  delegate: Delegate;
  /** Number of model changes since the loop began. */
  swaps: number;
  /** Digests of models that were rolled back, or that failed their golden vectors. */
  refused: string[];
  lastError: string | null;
}

/** A change of the model, as a sentence for people and a keyword for programs. */
export interface ModelEvent {
  /**
   * `swapped`: another model is in use. `back`: rolled back to the previous one. `refused`: a version was rejected. `offline` and
   * `online`: the platform became unreachable or reachable. `trained`: a model was trained here. `note`: anything else.
   */
  kind: 'swapped' | 'back' | 'refused' | 'offline' | 'online' | 'trained' | 'note';
  text: string;
}
