import type { AlarmDefinition, AlarmSample } from '../api/contract/alarms.js';
import { formatDuration } from '../core/time.js';

/**
 * The recent values that an alarm on a change or on a class evaluates, oldest first. For a change: [time, value]. For a class: [time of the
 * first prediction in the slot, predictions of the class, all predictions].
 */
export type AlarmWindow = number[][];

/** Maximum number of slots in a window, so that its size does not depend on the sampling rate. */
const slots = 60;

/** Whether the alarm's condition needs earlier samples. */
export function looksBack({ rate, class: label }: Pick<AlarmDefinition, 'rate' | 'class'>): boolean {
  return rate !== undefined || label !== undefined;
}

/**
 * Adds a sample to a window.
 * @returns the values on which the condition is evaluated: `change` and `rate` (per second), or `share`, `count` and `total`; null while the
 * window is less than half full, or if the sample lacks the field
 */
export function withinWindow(
  { rate, class: label, withinMs = 60_000 }: Pick<AlarmDefinition, 'rate' | 'class' | 'withinMs'>,
  window: AlarmWindow,
  { t, values }: AlarmSample,
): { window: AlarmWindow; values: Record<string, number> | null } {
  const recent = window.filter(([from = 0]) => from >= t - withinMs);
  const newest = recent.at(-1)?.[0] ?? Number.NEGATIVE_INFINITY;
  const isNewSlot = t - newest >= withinMs / slots;
  if (label !== undefined) {
    const hit = values.class === label ? 1 : 0;
    const last = recent.at(-1);
    const counted =
      isNewSlot || last === undefined
        ? [...recent, [t, hit, 1]]
        : [...recent.slice(0, -1), [last[0] ?? t, (last[1] ?? 0) + hit, (last[2] ?? 0) + 1]];
    const isFull = t - (counted[0]?.[0] ?? t) >= withinMs / 2;
    const [count, total] = [1, 2].map((i) => counted.reduce((sum, slot) => sum + (slot[i] ?? 0), 0)) as [
      number,
      number,
    ];
    return { window: counted, values: isFull ? { share: count / total, count, total } : null };
  }
  const value = rate === undefined ? undefined : values[rate];
  if (typeof value !== 'number' || !Number.isFinite(value)) return { window: recent, values: null };
  const kept = isNewSlot ? [...recent, [t, value]] : recent;
  const [from = t, before = value] = kept[0] ?? [];
  const seconds = (t - from) / 1000;
  const isFull = t - from >= withinMs / 2 && seconds > 0;
  const change = value - before;
  return { window: kept, values: isFull ? { change, rate: change / seconds } : null };
}

/** Describes the subject of a condition for people; empty = a single sample. */
export function aboutOf({ rate, class: label, offline, unwell, withinMs = 60_000 }: AlarmDefinition): string {
  if (rate !== undefined) return `${rate} within ${formatDuration(withinMs)}: `;
  if (label !== undefined) return `predictions of ${label} within ${formatDuration(withinMs)}: `;
  if (unwell) return 'unwell devices: ';
  return offline ? 'offline devices: ' : '';
}
