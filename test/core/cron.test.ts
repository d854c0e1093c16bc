import { expect, it } from 'vitest';
import { parseCron } from '../../src/lib/core/time.js';

/** Parses a date and time in this machine's time zone. */
const at = (text: string) => new Date(text.replace(' ', 'T')).getTime();
const shown = (ms: number | null) => {
  if (ms === null) return null;
  const date = new Date(ms);
  const two = (value: number) => String(value).padStart(2, '0');
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}:${two(date.getMinutes())}`;
};

it.each([
  ['0 3 * * *', '2026-11-20 03:00', '2026-11-21 03:00'],
  ['0 3 * * *', '2026-11-20 02:59', '2026-11-20 03:00'],
  ['*/15 * * * *', '2026-11-20 10:07', '2026-11-20 10:15'],
  ['5/20 * * * *', '2026-11-20 10:07', '2026-11-20 10:25'],
  ['0 22-23,0-4 * * *', '2026-11-20 04:30', '2026-11-20 22:00'],
  // The start is a Friday, and the pattern means Monday to Friday.
  ['30 8 * * mon-fri', '2026-11-20 09:00', '2026-11-23 08:30'],
  ['0 0 * * 7', '2026-11-20 00:00', '2026-11-22 00:00'],
  ['0 0 1 jan *', '2026-11-20 00:00', '2027-01-01 00:00'],
  // If both kinds of day are set, either one matches.
  ['0 0 13 * fri', '2026-11-14 00:00', '2026-11-20 00:00'],
  ['0 0 29 2 *', '2026-11-20 00:00', '2028-02-29 00:00'],
  ['0 0 31 2 *', '2026-11-20 00:00', null],
  ['@weekly', '2026-11-20 00:00', '2026-11-22 00:00'],
])('the cron pattern %s is next due after %s at %s', (pattern, after, next) => {
  expect(shown(parseCron(pattern)(at(after)))).toBe(next);
});

it.each([
  '',
  '* * * *',
  '60 * * * *',
  '* * 0 * *',
  '5-1 * * * *',
  '*/0 * * * *',
  '* * * foo *',
  '1-2-3 * * * *',
])('the cron pattern "%s" is rejected', (pattern) => {
  expect(() => parseCron(pattern)).toThrow(/expected/);
});

it.each(['valueOf', 'constructor', '__proto__'])(
  'the cron pattern %s is rejected with a usage error',
  (pattern) => {
    expect(() => parseCron(pattern)).toThrow(expect.objectContaining({ code: 'AIOT_USAGE' }));
  },
);
