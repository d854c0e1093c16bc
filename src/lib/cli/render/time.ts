/** Times for people, all UTC; `ms` is milliseconds since 1970. */

/** `2026-11-20T10:36:38.123Z` */
export function moment(ms: number): string {
  return new Date(ms).toISOString();
}

/** `2026-11-20 10:36` */
export function minute(ms: number): string {
  return moment(ms).slice(0, 16).replace('T', ' ');
}

/** `2026-11-20` */
export function day(ms: number): string {
  return moment(ms).slice(0, 10);
}

/** `10:36:38.123`: for lines of a log. */
export function timeOfDay(ms: number): string {
  return moment(ms).slice(11, 23);
}

/** How long ago, in one unit: `now`, `40 s ago`, `3 min ago`, `5 h ago`, `12 d ago`. */
export function ago(ms: number, now: number): string {
  const seconds = Math.floor((now - ms) / 1000);
  if (seconds < 5) return 'now';
  if (seconds < 90) return `${seconds} s ago`;
  if (seconds < 90 * 60) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}
