export { size } from '../../src/lib/core/figures.js';

const units: [Intl.RelativeTimeFormatUnit, number][] = [
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
  ['second', 1000],
];
const relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto', style: 'narrow' });

/** `3min ago`: short enough for a column. */
export function ago(time: number, now = Date.now()): string {
  const since = time - now;
  const [unit, ms] = units.find(([, length]) => Math.abs(since) >= length) ?? ['second', 1000];
  return relative.format(Math.trunc(since / ms), unit);
}

/** A moment as people write it here, to the second. */
export function moment(time: number): string {
  return new Date(time).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
}

/** `1 device`, `3 devices`. */
export function plural(count: number, noun: string): string {
  return `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`;
}

/** A word of a command line, in quotes where a shell needs them. */
export function shellWord(text: string): string {
  return /^[A-Za-z0-9_./:@%+=,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** A length of time: `420 ms`, `3.2 s`, `12 min`, `5 h`, `2 days`. */
export function lasting(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 120_000) return `${Math.round(ms / 1000)} s`;
  if (ms < 7_200_000) return `${Math.round(ms / 60_000)} min`;
  if (ms < 172_800_000) return `${Math.round(ms / 3_600_000)} h`;
  return `${Math.round(ms / 86_400_000)} days`;
}

/** A moment in a list: the time alone of today, else with the day. */
export function shortMoment(time: number, now = Date.now()): string {
  const at = new Date(time);
  const clock = at.toLocaleTimeString();
  if (at.toDateString() === new Date(now).toDateString()) return clock;
  const day = at.toLocaleDateString(undefined, { day: 'numeric', month: 'short' });
  return `${day} ${clock}`;
}
