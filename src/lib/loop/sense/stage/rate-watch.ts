import type { Tell } from '../events.js';

/** Further from the contract's rate than this is told. */
const tolerance = 0.03;
/** How often it is looked at, in batches. */
const every = 16;

/** Tells when the sensor's rate is another than the contract's, and when it is right again. */
export function createRateWatch(
  contractHz: number | null,
  measuredHz: () => number | null,
  tell: Tell,
): () => void {
  let batches = 0;
  let off = false;
  return () => {
    if (contractHz === null || batches++ % every !== every - 1) return;
    const measured = measuredHz();
    if (measured === null) return;
    const error = measured / contractHz - 1;
    if (Math.abs(error) > tolerance && !off) {
      off = true;
      tell(
        'rate',
        `the sensor gives ${measured.toPrecision(4)} samples a second, the model takes ${contractHz}`,
      );
    } else if (Math.abs(error) < tolerance / 2 && off) {
      off = false;
      tell('rate', `the sensor gives ${measured.toPrecision(4)} samples a second again`);
    }
  };
}
