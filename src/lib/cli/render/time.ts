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
