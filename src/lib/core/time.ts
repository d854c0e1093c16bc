import { setTimeout as delay } from 'node:timers/promises';
import { AiotError } from './errors.js';

export { backOffMs, retryAfterMs, withJitter } from './back-off.js';

/** An injectable clock, so that state machines and retries can be tested without waiting. */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Milliseconds since an arbitrary start, unaffected by changes to the machine's clock. Absent if `now` itself never jumps. */
  monotonic?(): number;
  /** Resolves after `ms`, or rejects with the signal's reason if the signal is aborted first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: async (ms, signal) => {
    await delay(ms, undefined, { signal });
  },
};

const unitsMs: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Weeks are accepted as input but never written: two weeks become 14d. */
const weekMs = 604_800_000;

/**
 * Converts a duration such as `500ms`, `30s`, `1.5m`, `2h`, `7d` or `2w` to milliseconds. A bare number is rejected, because its unit
 * would be ambiguous.
 * @param about prefix of the error, such as `--latency: `
 * @throws AIOT_USAGE
 */
export function parseDuration(text: string, about = ''): number {
  const [, digits = '', unit = ''] = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)$/.exec(text.trim()) ?? [];
  const ms = Number(digits) * (unit === 'w' ? weekMs : (unitsMs[unit] ?? Number.NaN));
  if (!Number.isSafeInteger(Math.round(ms))) {
    throw new AiotError(
      'AIOT_USAGE',
      `${about}expected a time such as 500ms, 30s, 5m, 2h or 7d; got "${text}"`,
    );
  }
  return Math.round(ms);
}

/** Formats a duration, as the inverse of `parseDuration`, in the largest unit that leaves no fraction: 10000 becomes `10s`. */
export function formatDuration(ms: number): string {
  const [unit, factor] = Object.entries(unitsMs).findLast(([, each]) => ms >= each && ms % each === 0) ?? [
    'ms',
    1,
  ];
  return `${ms / factor}${unit}`;
}

/** The five fields of crontab(5), two of which accept names. */
const fields = [
  { name: 'minute', from: 0, to: 59, names: [] },
  { name: 'hour', from: 0, to: 23, names: [] },
  { name: 'day', from: 1, to: 31, names: [] },
  {
    name: 'month',
    from: 1,
    to: 12,
    names: ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'],
  },
  { name: 'weekday', from: 0, to: 7, names: ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'] },
] as const;

type Field = (typeof fields)[number];

const shorthands: Record<string, string> = {
  '@hourly': '0 * * * *',
  '@daily': '0 0 * * *',
  '@weekly': '0 0 * * 0',
  '@monthly': '0 0 1 * *',
};

/** Limit of the search, ms. The 29th of February occurs at least once in eight years. */
const longestMs = 9 * 366 * 24 * 3_600_000;

/** The next matching time after the given one, both ms since 1970, in this machine's time zone; null = never. */
export type Cron = (after: number) => number | null;

/**
 * Parses a pattern in the form of crontab(5): minute, hour, day of the month, month, day of the week; `*`, lists, ranges, steps and names.
 * If both day fields are restricted, a match of either one is sufficient.
 * @throws AIOT_USAGE
 */
export function parseCron(pattern: string): Cron {
  const short = pattern.trim();
  const words = (Object.hasOwn(shorthands, short) ? shorthands[short]! : short).split(/\s+/);
  if (words.length !== fields.length) {
    throw new AiotError('AIOT_USAGE', `expected five fields such as "0 3 * * *"; got "${pattern}"`);
  }
  const [minutes, hours, days, months, weekdays] = fields.map((field, i) => valuesOf(field, words[i]!)) as [
    Set<number>,
    Set<number>,
    Set<number>,
    Set<number>,
    Set<number>,
  ];
  if (weekdays.has(7)) weekdays.add(0);
  const [anyDay, anyWeekday] = [words[2]!.startsWith('*'), words[4]!.startsWith('*')];
  const isDay = (at: Date) => {
    const [day, weekday] = [days.has(at.getDate()), weekdays.has(at.getDay())];
    return anyDay || anyWeekday ? day && weekday : day || weekday;
  };
  return (after) => {
    const at = new Date(after);
    at.setSeconds(0, 0);
    at.setMinutes(at.getMinutes() + 1);
    // The search advances to the beginning of the next month, day or hour, because local clocks move forward and back at times.
    while (at.getTime() - after < longestMs) {
      if (!months.has(at.getMonth() + 1)) {
        at.setMonth(at.getMonth() + 1, 1);
        at.setHours(0, 0);
      } else if (!isDay(at)) {
        at.setDate(at.getDate() + 1);
        at.setHours(0, 0);
      } else if (!hours.has(at.getHours())) at.setTime(at.getTime() + (60 - at.getMinutes()) * 60_000);
      else if (!minutes.has(at.getMinutes())) at.setTime(at.getTime() + 60_000);
      else return at.getTime();
    }
    return null;
  };
}

function valuesOf(field: Field, word: string): Set<number> {
  const values = new Set<number>();
  for (const part of word.split(',')) {
    const [, range = '', step] = /^([^/]+)(?:\/(\d+))?$/.exec(part) ?? [];
    const [first = '', last, ...more] =
      range === '*' ? [String(field.from), String(field.to)] : range.split('-');
    const low = numberOf(field, first);
    // `5/10` means every tenth value, starting at 5.
    const high = last === undefined ? (step === undefined ? low : field.to) : numberOf(field, last);
    const by = step === undefined ? 1 : Number(step);
    if (range === '' || more.length > 0 || by === 0 || low > high) throw wrong(field, part);
    for (let value = low; value <= high; value += by) values.add(value);
  }
  return values;
}

function numberOf(field: Field, text: string): number {
  const named = (field.names as readonly string[]).indexOf(text.toLowerCase());
  const value = named >= 0 ? named + field.from : /^\d{1,2}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= field.from && value <= field.to) return value;
  throw wrong(field, text);
}

function wrong({ name, from, to }: Field, text: string): AiotError {
  return new AiotError('AIOT_USAGE', `expected ${name}s from ${from} to ${to}; got "${text}"`);
}
