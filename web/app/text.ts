export { ago, size } from '../../src/lib/core/figures.js';

/** A time in the reader's locale, to the second. */
export function moment(time: number): string {
  return new Date(time).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
}

/** A count with its noun, such as `1 device` or `3 devices`. */
export function plural(count: number, noun: string): string {
  return `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`;
}

/** A word for a command line, quoted if a shell requires it. */
export function shellWord(text: string): string {
  return /^[A-Za-z0-9_./:@%+=,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** A duration as text, such as `420 ms`, `3.2 s`, `12 min`, `5 h`, or `2 days`. */
export function lasting(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 120_000) return `${Math.round(ms / 1000)} s`;
  if (ms < 7_200_000) return `${Math.round(ms / 60_000)} min`;
  if (ms < 172_800_000) return `${Math.round(ms / 3_600_000)} h`;
  return `${Math.round(ms / 86_400_000)} days`;
}

/** A time for lists in the reader's locale, without the date if it is today. */
export function shortMoment(time: number, now = Date.now()): string {
  const at = new Date(time);
  const clock = at.toLocaleTimeString();
  if (at.toDateString() === new Date(now).toDateString()) return clock;
  const day = at.toLocaleDateString(undefined, { day: 'numeric', month: 'short' });
  return `${day} ${clock}`;
}

/** The exact time in ISO 8601 with the reader's time zone, such as `2026-11-20T14:05:06.123+01:00`. */
export function withZone(time: number): string {
  const minutes = -new Date(time).getTimezoneOffset();
  const local = new Date(time + minutes * 60_000).toISOString().slice(0, -1);
  const two = (value: number) => String(Math.floor(value)).padStart(2, '0');
  return `${local}${minutes < 0 ? '-' : '+'}${two(Math.abs(minutes) / 60)}:${two(Math.abs(minutes) % 60)}`;
}

/** A selector of exactly these devices. Words that could be a key or a keyword of a selector are quoted. */
export function selectorOf(names: readonly string[]): string {
  return names.map((name) => (/^[a-z]+$/i.test(name) ? `"${name}"` : name)).join(',');
}

/** Maximum number of characters of a selector. */
export const longestSelector = 4000;
