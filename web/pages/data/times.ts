/** A duration in ms as text, such as `0.25 s`, `12.3 s`, `4:05` or `2:04:05`. */
export function duration(ms: number | null): string {
  if (ms === null) return '';
  if (ms < 60_000) return `${Number((ms / 1000).toPrecision(3))} s`;
  const seconds = Math.round(ms / 1000);
  const two = (value: number) => String(value).padStart(2, '0');
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

/** Whether a device clock shows the time of day, unlike a clock that counts from boot. */
export function isClock(ms: number | null): boolean {
  return ms !== null && ms > 1e12;
}
