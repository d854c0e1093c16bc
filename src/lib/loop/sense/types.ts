import type { Project } from '../../core/project.js';
import type { Clock } from '../../core/time.js';
import type { SampleBatch, SampleField, SampleSource } from '../../sensor/types.js';
import type { StreamOptions } from '../../stream/message.js';
import type { Answer } from '../types.js';

/** The model's input: fields in order, with units, and a steady rate; null = any, a sample is a window of its own. */
export interface SensingContract {
  fields: readonly SampleField[];
  rateHz: number | null;
}

/** An event of interest to the person who runs the loop. */
export interface SensingEvent {
  /** ms since 1970. */
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
  /** One line. */
  text: string;
}

/** A simulated sensor that replays the training data of the project's model. */
export interface Simulation {
  project: Project;
  /** 1 = real time (default), 10 = ten times as fast; `max` = as fast as possible, with a clock that stops during work. */
  speed?: number | 'max';
  /** Seed of the recordings' order; default 1. */
  seed?: number;
}

export interface SensingOptions {
  /** URL of the sensor; absent with `simulate`. */
  sensor?: string | undefined;
  contract: SensingContract;
  /** Used if no sensor is named. */
  simulate?: Simulation | undefined;
  /** Default: this machine's. With `speed: 'max'`, a simulation starts a clock of its own at this one's time. */
  clock?: Clock;
  stream?: StreamOptions;
  signal?: AbortSignal;
  onEvent?: (event: SensingEvent) => void;
  /** Base folder of the relative path of a `file:`; default: the current folder. */
  baseFolder?: string | undefined;
  /** Waits for a sensor that is not there yet, instead of failing. */
  patient?: boolean;
}

/**
 * Origin of the samples' times. `exact`: derived from the rate, as in a file. `own`: the sensor's clock, which is tracked.
 * `arrival`: when they arrived here, which yields a rate in the long run but no times of single samples.
 */
export type Timing = 'exact' | 'own' | 'arrival';

/** A source before mapping, measuring and resampling. */
export interface RawSource extends SampleSource {
  readonly timing: Timing;
  /** Whether its times are those of a log or a recording. Absent = they are this machine's. */
  readonly kept?: boolean;
  readonly connected?: boolean;
  reply?(answer: Answer): void;
  [Symbol.asyncIterator](): AsyncIterator<Incoming>;
}

/** A batch, and its source's further information about it. */
export interface Incoming extends SampleBatch {
  /** Message numbers show that nothing is missing within it or before it. */
  sure?: boolean;
  /** Whether its times are evenly spaced already and need no smoothing. */
  steady?: boolean;
  /** Whether the batch does not follow the previous one, as after a lost connection or in another recording. */
  apart?: boolean;
}

export type Tell = (kind: SensingEvent['kind'], text: string) => void;

/** Minimum interval between events of a kind: a problem of every sample is reported once. */
const quietMs = 60_000;

/** Events that are reported every time. */
const always: ReadonlySet<SensingEvent['kind']> = new Set(['lost', 'found', 'resampling', 'caution']);

/** Reports events, one line each; recurring ones once a minute, with the number of those omitted. */
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
