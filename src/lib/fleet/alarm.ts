import type { AlarmDefinition, AlarmSample } from '../api/contract/alarms.js';
import { formatDuration } from '../core/time.js';
import { type AlarmWindow, aboutOf } from './alarm-window.js';
import { parseWindow, windowIsOpen } from './window.js';

/** State of one alarm on one device. Times are ms since 1970. */
export interface AlarmState {
  /** When the condition began to hold; null = it does not hold. */
  since: number | null;
  /** When the condition that ends the incident began to hold. */
  clearSince: number | null;
  /** Id of the open incident; null = none. */
  incident: string | null;
  /** Time of the newest sample. */
  last: number;
  /** The newest samples on which the condition held, oldest first. */
  samples: AlarmSample[];
  /** Stream of the sample on which the condition began to hold. */
  stream?: string | undefined;
  /** Earlier samples by stream, the newest stream last; only for an alarm on a change or on a class. */
  windows?: Record<string, AlarmWindow>;
  /**
   * Per stream: the newest time, and when the first sample with an older time arrived after it (`behind`; absent if none has). The newest
   * stream is last.
   */
  clocks?: Record<string, { last: number; behind?: number }>;
}

export type AlarmChange = 'raised' | 'cleared' | null;

/** Maximum number of samples that an incident contains. */
const mostSamples = 20;

/** If samples have older times for this long, ms, the device's clock was set back. Until then, they are considered late. */
const setBackAfterMs = 60_000;
/** Number of streams of a device whose times are remembered. */
const mostClocks = 50;

/**
 * Determines the position of a sample in the order of its stream's samples.
 * @param at when it arrived, ms since 1970
 * @returns whether the sample is late and must be ignored. If the device's clock was set back, the condition starts over with this sample,
 * and an open incident remains open.
 */
export function placeInTime(
  state: AlarmState,
  { t, at, stream }: { t: number; at: number; stream: string },
): { state: AlarmState; isLate: boolean } {
  const { [stream]: own, ...others } = state.clocks ?? {};
  const rest = newestStreams(others);
  const last = own?.last ?? (state.clocks === undefined ? state.last : 0);
  const clocks = { ...rest, [stream]: { last: t } };
  // Another stream may be ahead, which does not make this sample late.
  if (t >= last) return { state: { ...state, last: Math.min(state.last, t), clocks }, isLate: false };
  const behind = own?.behind ?? at;
  if (at - behind < setBackAfterMs)
    return { state: { ...state, clocks: { ...rest, [stream]: { last, behind } } }, isLate: true };
  const { incident } = state;
  return { state: { ...quiet, incident, last: t, clocks }, isLate: false };
}

/**
 * Whether a sample is irrelevant to a condition on a change that began on another stream of the device. That stream is decisive until it
 * has been silent for the length of the window.
 */
export function isOfAnother(
  { withinMs = 0 }: Pick<AlarmDefinition, 'withinMs'>,
  { stream, clocks }: AlarmState,
  sample: { t: number; stream: string },
): boolean {
  if (stream === undefined || stream === sample.stream) return false;
  return sample.t - (clocks?.[stream]?.last ?? Number.NEGATIVE_INFINITY) < withinMs;
}

/** The entries of the newest streams, without those that must make room for another stream. */
export function newestStreams<T>(byStream: Record<string, T>): Record<string, T> {
  return Object.fromEntries(Object.entries(byStream).slice(1 - mostClocks));
}

export const quiet: AlarmState = { since: null, clearSince: null, incident: null, last: 0, samples: [] };

/**
 * Processes one sample. `holds` and `clears` are the results of the alarm's expressions on it. The result depends only on the samples, so
 * recorded samples yield the same incidents as live ones.
 */
export function alarmStep(
  { forMs, clear, clearForMs }: Pick<AlarmDefinition, 'forMs' | 'clear' | 'clearForMs'>,
  state: AlarmState,
  { t, values, stream }: AlarmSample & { stream?: string },
  { holds, clears }: { holds: boolean; clears: boolean },
): { state: AlarmState; change: AlarmChange } {
  // A late sample does not override the result of a newer one.
  if (t < state.last) return { state, change: null };
  const seen = { ...state, last: t };
  if (state.incident !== null) {
    const ends = clear === undefined ? !holds : clears;
    if (!ends) return { state: { ...seen, clearSince: null }, change: null };
    const clearSince = state.clearSince ?? t;
    if (t - clearSince < clearForMs) return { state: { ...seen, clearSince }, change: null };
    return { state: { ...quiet, last: t }, change: 'cleared' };
  }
  if (!holds) return { state: { ...quiet, last: t }, change: null };
  const since = state.since ?? t;
  const samples = [...state.samples, { t, values }].slice(-mostSamples);
  const began = state.since === null ? stream : state.stream;
  return { state: { ...seen, since, samples, stream: began }, change: t - since >= forMs ? 'raised' : null };
}

/**
 * Whether a time, ms since 1970, is within one of the maintenance windows, such as `sat,sun 02:00-04:00 Europe/Berlin`. A window without a
 * time zone is in UTC.
 */
export function isMaintained(windows: readonly string[], now: number): boolean {
  return windows.some((text) => {
    const window = parseWindow(text, 'UTC');
    return window !== undefined && windowIsOpen(window, now);
  });
}

/** Whether a device has been absent for long enough. @param watchedSince time from which an absence counts */
export function isAbsent(
  { absentMs = 0 }: Pick<AlarmDefinition, 'absentMs'>,
  { last, incident }: AlarmState,
  watchedSince: number,
  now: number,
): boolean {
  return incident === null && now - Math.max(last, watchedSince) >= absentMs;
}

/** Adds the arrival of a message to the times during which a device was never silent for `absentMs`: [first, last] message of each. */
export function addArrival(spans: [number, number][], at: number, absentMs: number): void {
  const last = spans.at(-1);
  if (last && at > last[0] - absentMs && at < last[1] + absentMs) {
    last[0] = Math.min(last[0], at);
    last[1] = Math.max(last[1], at);
  } else spans.push([at, at]);
}

/**
 * The absences that an alarm would have raised. Times are ms since 1970.
 * @param spans from `addArrival`, in any order
 * @param starts when the platform started, because it could not receive messages before
 */
export function absencesIn(
  { absentMs = 0 }: Pick<AlarmDefinition, 'absentMs'>,
  spans: readonly (readonly [number, number])[],
  starts: readonly number[],
  now: number,
): { last: number; raised: number; cleared: number | null }[] {
  const sorted = [...spans].sort(([a], [b]) => a - b);
  const found: { last: number; raised: number; cleared: number | null }[] = [];
  let last = sorted[0]?.[1] ?? now;
  for (const [first, end] of [...sorted.slice(1), [now, now] as const]) {
    const before = last;
    const watched = starts.filter((start) => start > before && start <= first);
    const raised = Math.max(before, ...watched) + absentMs;
    const isOpen = first === now && end === now;
    if (raised <= first) found.push({ last: before, raised, cleared: isOpen ? null : first });
    last = Math.max(last, end);
  }
  return found;
}

/** The condition in words, with the values of the last sample. */
export function alarmMessage(definition: AlarmDefinition, { samples, last }: AlarmState): string {
  const { where, absentMs, forMs, stream } = definition;
  if (where === undefined) {
    const of = stream === undefined ? 'any stream' : stream;
    const newest = new Date(last).toISOString().slice(0, 19).replace('T', ' ');
    return `no telemetry on ${of} for ${formatDuration(absentMs ?? 0)}; the last message came at ${newest} UTC`;
  }
  // Causes are identified by their codes, which the condition may contain.
  const { causes, message } = samples.at(-1)?.values ?? {};
  if (definition.unwell && Array.isArray(causes)) return `${causes.join(', ')}: ${String(message)}`;
  const values = Object.entries(samples.at(-1)?.values ?? {}).map(
    ([name, value]) => `${name}=${String(value)}`,
  );
  return `${aboutOf(definition)}${where}${forMs > 0 ? ` for ${formatDuration(forMs)}` : ''}: ${values.join(', ')}`;
}
