import type { Project } from '../../core/project.js';
import type { Clock } from '../../core/time.js';
import type { SampleBatch, SampleField, SampleSource } from '../../sensor/types.js';
import type { ImageSpec } from '../../signal/spec.js';
import type { StreamOptions } from '../../stream/message.js';
import type { Answer } from '../types.js';

/** The model's input: fields in order, with units, and a steady rate. A null rate means that each sample is a window of its own. */
export interface SensingContract {
  fields: readonly SampleField[];
  rateHz: number | null;
  /** For a model of pictures: their size, and how files of other sizes are fitted. */
  image?: ImageSpec | undefined;
}

/** An event that is of interest to the person who runs the loop. */
export interface SensingEvent {
  /** Time of the event, ms since 1970. */
  t: number;
  kind:
    | 'lost'
    | 'found'
    | 'gap'
    | 'jump'
    | 'rate'
    | 'repeats'
    | 'resampling'
    | 'skipped'
    | 'caution'
    | 'simulated';
  /** A line of text for people. */
  text: string;
}

/** A simulated sensor that replays the training data of the project's model. */
export interface Simulation {
  project: Project;
  /**
   * Speed of the simulation: 1 = real time (default), 10 = ten times as fast; `max` = as fast as possible, with a clock that stops during
   * work.
   */
  speed?: number | 'max';
  /** Seed of the recordings' order; default 1. */
  seed?: number;
}

export interface SensingOptions {
  /** URL of the sensor; absent with `simulate`. */
  sensor?: string | undefined;
  contract: SensingContract;
  /** Simulated sensor to use if `sensor` is absent. */
  simulate?: Simulation | undefined;
  /** Clock; default: this machine's clock. With `speed: 'max'`, a simulation starts its own clock at the time of this one. */
  clock?: Clock;
  stream?: StreamOptions;
  signal?: AbortSignal;
  onEvent?: (event: SensingEvent) => void;
  /** Base folder for a relative `file:` path; default: the current folder. */
  baseFolder?: string | undefined;
  /** Whether to wait for a missing sensor instead of failing. */
  patient?: boolean;
}

/**
 * Origin of the samples' times. `exact`: derived from the rate, as in a file. `own`: the sensor's clock, which is tracked. `arrival`: the
 * time of arrival here, from which the rate can be derived in the long run, but not the times of single samples.
 */
export type Timing = 'exact' | 'own' | 'arrival';

/** A source before its fields are mapped and its samples measured and resampled. */
export interface RawSource extends SampleSource {
  readonly timing: Timing;
  /** Whether the times come from a log or a recording. Absent = they come from this machine's clock. */
  readonly kept?: boolean;
  readonly connected?: boolean;
  reply?(answer: Answer): void;
  [Symbol.asyncIterator](): AsyncIterator<Incoming>;
}

/** A batch, with further information from its source. */
export interface Incoming extends SampleBatch {
  /** Whether message numbers show that no sample is missing within the batch or before it. */
  sure?: boolean;
  /** Whether the batch's times are already evenly spaced and need no smoothing. */
  steady?: boolean;
  /** Whether the batch does not follow the previous one, as after a lost connection or in another recording. */
  apart?: boolean;
}

export type Tell = (kind: SensingEvent['kind'], text: string) => void;

/** Minimum interval between events of one kind, ms, so that a problem that affects every sample is not reported for each one. */
const quietMs = 60_000;

/** Events that are reported every time. */
const always: ReadonlySet<SensingEvent['kind']> = new Set(['lost', 'found', 'resampling', 'caution']);

/** Reports events, one line each. Events that recur within a minute are counted, and the next event reports their number. */
export function createTeller(
  clock: Clock,
  monotonicMs: () => number,
  onEvent: ((event: SensingEvent) => void) | undefined,
): Tell {
  const told = new Map<SensingEvent['kind'], { at: number; more: number }>();
  return (kind, text) => {
    const now = monotonicMs();
    const before = told.get(kind);
    if (before && now - before.at < quietMs && !always.has(kind)) {
      before.more++;
      return;
    }
    const more = before && before.more > 0 ? ` (and ${before.more} more of the kind in between)` : '';
    told.set(kind, { at: now, more: 0 });
    onEvent?.({ t: clock.now(), kind, text: `${text}${more}` });
  };
}
