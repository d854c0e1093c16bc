import type { Clock, Project } from '../../core/index.js';
import type { SampleBatch } from '../../sensor/index.js';
import type { ModelKeeper } from '../model-types.js';

export interface TeacherOptions {
  /** Says what its recordings are like. */
  project: Project;
  keeper: ModelKeeper;
  /** Of the batches that are pushed, in their order. */
  fields: readonly string[];
  rateHz: number;
  /** Data folder that recordings go into; the project's own unless told. */
  folder?: string | undefined;
  /** What one mark takes, seconds; unless told twice the model's window, at least 5. */
  seconds?: number | undefined;
  /** How far back a mark can reach, seconds. */
  keepSeconds?: number | undefined;
  /** Who recorded. */
  device?: string | undefined;
  /** Use the new model also where it does worse. */
  yes?: boolean | undefined;
  clock?: Clock | undefined;
  signal?: AbortSignal | undefined;
  onEvent?: ((event: TeachEvent) => void) | undefined;
}

export interface TeachEvent {
  /** `marked`: a recording was kept; `taught`: a new model is in use; `kept`: the old one stays; `refused`: nothing was done. */
  kind: 'marked' | 'taught' | 'kept' | 'refused';
  text: string;
}

/** A key of the keyboard, and what it marks. */
export interface TeachKey {
  key: string;
  label: string;
}

/** What came of a retraining. */
export interface TaughtResult {
  used: boolean;
  what: 'last layer' | 'biases';
  /** Macro-F1 on what was held out, by the model before and the new one. */
  before: number;
  after: number;
  /** Windows that were held out. */
  windows: number;
  digest: string;
  /** The new bundle. */
  file: string;
  seconds: number;
}

/** Marks what was just seen with a label, and teaches the model with it. Calls are cheap; the work is done between samples. */
export interface Teacher {
  readonly keys: readonly TeachKey[];
  /** The values are copied. */
  push(batch: SampleBatch): void;
  /** @returns whether the key means something here */
  key(character: string): boolean;
  /** A payload: a label, or JSON `{label, seconds?}`. Never throws: events tell what came of it. */
  mark(payload: string): void;
  /** Learns the last layer anew from all that was marked; null = there was nothing to learn, which an event tells. */
  retrain(): Promise<TaughtResult | null>;
  /** All that was asked for until now is done. */
  settled(): Promise<void>;
  close(): Promise<void>;
}
