import type { Predictor } from '../model/bundle/predictor.js';
import type { Bundle, BundleInfo } from '../model/bundle/types.js';
import type { SampleSource } from '../sensor/types.js';

/** What the samples of a source are like, measured since it was opened. */
export interface Rates {
  samples: number;
  /** Known to be missing: told by the sensor, or gaps in the times of samples. */
  lost: number;
  gaps: number;
  /** Measured; null before there is something to measure. */
  rateHz: number | null;
  /** 99 of 100 distances between samples are no further from the mean distance than this, ms. */
  jitterP99Ms: number | null;
}

/**
 * A source in the contract's fields, units and rate. A batch with `lost` above 0 does not follow what came before it: a window
 * must not reach across, so the reader resets. Gaps that were bridged (a sample or two) are in `rates()` alone.
 */
export interface Sensing extends SampleSource {
  /** The contract's; where that names none, the sensor's, or 1: a sample is a window then. */
  readonly rateHz: number;
  /** Of what came, before resampling. */
  rates(): Rates;
  /** False while the sensor is unplugged, or its broker gone. Absent = always. */
  readonly connected?: boolean;
  /**
   * For sensors that wait for an answer (`tcp:`): what came of the samples of the batch that is being read. Call it before the next
   * batch is asked for; who is not answered by then is told that the sample was taken.
   */
  reply?(answer: Answer): void;
}

/** The answer to one window. */
export interface Answer {
  /** Of the window's last sample, ms since 1970. */
  t: number;
  /** Number since the loop began, from 0. */
  window: number;
  /** Class of this window; null where the model answers with values. */
  label: string | null;
  /** After the vote; null where the vote is open (a tie) or there is none to take. */
  voted: string | null;
  /** As the model's: a share of each class, the values, or the reconstruction error. */
  scores: readonly number[];
  value: number | null;
  /** From the arrival of the window's last sample to this answer, ms. */
  latencyMs: number;
  /** The vote says something else than before. */
  changed: boolean;
  model: { name: string; version: number | null };
}

/** Where answers go. `put` never waits: what the far side cannot take now is kept on disk, within limits. */
export interface Outputs {
  put(answer: Answer): void;
  /** Everything given so far has arrived, or is on disk. */
  settled(): Promise<void>;
  states(): OutputState[];
  /** After what can still arrive has. */
  close(): Promise<void>;
}

export interface OutputState {
  /** Without credentials. */
  endpoint: string;
  connected: boolean;
  sent: number;
  /** On disk, to be sent. */
  waiting: number;
  /** Thrown away at the limit, or refused for good. */
  dropped: number;
  lastError: string | null;
}

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
