import type { MaintenanceWindow } from '../api/rollouts/schema.js';
import { days } from '../api/rollouts/words.js';

/** Days, start, end and time zone of a window's text. */
const pattern =
  /^(?:(daily|(?:mon|tue|wed|thu|fri|sat|sun)(?:,(?:mon|tue|wed|thu|fri|sat|sun))*) +)?(\d\d:\d\d)-(\d\d:\d\d)(?: +(\S+))?$/;

/**
 * A weekly window from its text, such as `22:00-04:00`, `daily 22:00-04:00` or `sat,sun 08:00-18:00 Europe/Berlin`.
 * @param zone time zone of a text without one
 * @returns undefined if the text has another form. Hours and zones are not checked; `windowSchema` does so.
 */
export function parseWindow(text: string, zone: string): MaintenanceWindow | undefined {
  const [, on = 'daily', from, to, own = zone] = pattern.exec(text) ?? [];
  if (from === undefined || to === undefined) return undefined;
  const named = on === 'daily' ? undefined : (on.split(',') as (typeof days)[number][]);
  return { from, to, zone: own, ...(named ? { days: named } : {}) };
}

/** The text of a window, with its time zone. A text that is none is returned unchanged. @param zone time zone of a text without one */
export function windowWithZone(text: string, zone: string): string {
  const window = parseWindow(text, zone);
  return window === undefined || text.endsWith(` ${window.zone}`) ? text : `${text} ${window.zone}`;
}

const minutesOf = (clock: string) => Number(clock.slice(0, 2)) * 60 + Number(clock.slice(3));
const clocks = new Map<string, Intl.DateTimeFormat>();

/**
 * Whether a time, ms since 1970, is within a window. The window is in the zone's local time, so a nightly window keeps its hours across
 * daylight-saving changes. It is open whenever the zone's clock shows a time in it: an hour that the clock skips does not occur, and one that
 * it repeats occurs twice. A window that ends at or before its start ends on the next day.
 */
export function windowIsOpen(window: MaintenanceWindow | null, at: number): boolean {
  if (window === null) return true;
  const { day, minute } = localTime(window.zone, at);
  const [from, to] = [minutesOf(window.from), minutesOf(window.to)];
  const on = (index: number) => !window.days || window.days.includes(days[(index + 7) % 7]!);
  if (from < to) return minute >= from && minute < to && on(day);
  // After midnight, the window belongs to the day it opened on.
  return minute >= from ? on(day) : minute < to && on(day - 1);
}

/** Day of the week (0 = Monday) and minute of the day in a time zone. */
function localTime(zone: string, at: number): { day: number; minute: number } {
  let clock = clocks.get(zone);
  if (!clock) {
    const parts = { weekday: 'short', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' } as const;
    clock = new Intl.DateTimeFormat('en-US', { timeZone: zone, ...parts });
    clocks.set(zone, clock);
  }
  const part = Object.fromEntries(clock.formatToParts(at).map(({ type, value }) => [type, value]));
  const day = days.indexOf(part.weekday?.toLowerCase() as (typeof days)[number]);
  return { day, minute: Number(part.hour) * 60 + Number(part.minute) };
}
