/** Waits between attempts, ms: what is down for a moment is asked soon, what is down for a day seldom. */
const waits = [5, 30, 120, 300, 900, 1800, 3600, 7200, 14_400].map((seconds) => seconds * 1000);

/** After so long without one success nothing more is sent, ms. */
export const givesUpAfterMs = 5 * 86_400_000;

/**
 * How long to wait after so many failures in a row, ms; up to a quarter less by chance, so that those who failed together do not come
 * back together. @param wanted what the target asked for; more than the longest wait is not granted
 */
export function waitAfter(failures: number, wanted = 0, random: () => number = Math.random): number {
  const longest = waits.at(-1) ?? 0;
  const own = waits[Math.min(failures, waits.length) - 1] ?? longest;
  return Math.round(Math.max(own * (1 - random() / 4), Math.min(wanted, longest)));
}
