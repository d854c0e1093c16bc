import type { Project } from '../../core/project.js';
import type { Clock } from '../../core/time.js';
import type { SampleBatch, SampleField, SampleSource } from '../../sensor/types.js';
import type { StreamOptions } from '../../stream/message.js';
import type { Answer } from '../types.js';

/** What the model takes: fields in order, with units, and a steady rate; null = any, a sample is a window of its own. */
export interface SensingContract {
  fields: readonly SampleField[];
  rateHz: number | null;
}

/** Something that a person who runs the loop wants to know. */
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

/** A made-up sensor that plays what the project's model was trained on. */
export interface Simulation {
  project: Project;
  /** 1 = real time (default), 10 = ten times as fast; `max` = with a clock that stands still only for work. */
  speed?: number | 'max';
  /** Which recordings come when; default 1. */
  seed?: number;
}

export interface SensingOptions {
  /** Absent with `simulate`. */
  sensor?: string | undefined;
  contract: SensingContract;
  /** Stands in where no sensor is named. */
  simulate?: Simulation | undefined;
  /** Default: this machine's. For `speed: 'max'` a clock of `createVirtualClock`. */
  clock?: Clock;
  stream?: StreamOptions;
  signal?: AbortSignal;
  onEvent?: (event: SensingEvent) => void;
  /** Where the relative path of a `file:` begins; default: here. */
  baseFolder?: string | undefined;
  /** A sensor that is not there yet is waited for, instead of refused. */
  patient?: boolean;
}

/**
 * Where the times of samples come from. `exact`: they follow from the rate, as in a file. `own`: the sensor's clock, which is
 * followed. `arrival`: when they came here, which tells a rate in the long run and nothing of single samples.
 */
export type Timing = 'exact' | 'own' | 'arrival';

/** A source before mapping, measuring and resampling. */
export interface RawSource extends SampleSource {
  readonly timing: Timing;
  /** Its times are those of a log or a recording, and not this machine's. Absent = they are. */
  readonly kept?: boolean;
  readonly connected?: boolean;
  reply?(answer: Answer): void;
  [Symbol.asyncIterator](): AsyncIterator<Incoming>;
}

/** A batch, and what its source knows of it besides. */
export interface Incoming extends SampleBatch {
  /** Numbers of messages say that nothing is missing within it, and before it. */
  sure?: boolean;
  /** Its times lie on a line already. */
  steady?: boolean;
  /** It follows nothing: a connection that was lost, another take. */
  apart?: boolean;
}

export type Tell = (kind: SensingEvent['kind'], text: string) => void;

/** At most one event of a kind in so long: what goes wrong with each sample is told once. */
const quietMs = 60_000;

/** Whoever goes and comes is told each time. */
const always: ReadonlySet<SensingEvent['kind']> = new Set(['lost', 'found', 'resampling', 'caution']);

/** Tells of what happens, one line each; of what goes on happening once a minute, with the number of those left out. */
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
