import type { Tell } from '../events.js';

/** Further from the contract's rate than this is told. */
const tolerance = 0.03;
/** How often it is looked at, in batches. */
const every = 16;

/**
 * Tells when the sensor's rate is another than the one expected, and when it is right again.
 * @param expected the contract's; where samples are resampled, the one that was set
 */
export function createRateWatch(
  expected: () => { hz: number | null; of: string },
  measuredHz: () => number | null,
  tell: Tell,
): () => void {
  let batches = 0;
  let off = false;
  return () => {
    if (batches++ % every !== every - 1) return;
    const { hz, of } = expected();
    if (hz === null) return;
    const measured = measuredHz();
    if (measured === null) return;
    const error = measured / hz - 1;
    if (Math.abs(error) > tolerance && !off) {
      off = true;
      tell('rate', `the sensor gives ${measured.toPrecision(4)} samples a second, ${of} ${hz}`);
    } else if (Math.abs(error) < tolerance / 2 && off) {
      off = false;
      tell('rate', `the sensor gives ${measured.toPrecision(4)} samples a second again`);
    }
  };
}
