import { type Finding, fail, ok } from '../finding.js';

/** When this check was written: no machine that runs it can be earlier. */
const earliest = Date.parse('2026-11-01T00:00:00Z');

/** Certificates and manifests have dates: a clock that starts at 1970 refuses all of them. */
export function checkClock(now: number): Finding {
  const detail = new Date(now).toISOString();
  return now >= earliest
    ? ok('clock', detail)
    : fail(
        'clock',
        `${detail} is in the past`,
        'Set the clock, or start its synchronization: timedatectl set-ntp true',
      );
}
