import type { Taught } from '../../model/index.js';
import type { TaughtResult } from './types.js';

/** What came of a retraining, in a sentence with its figures. */
export function textOf(
  { used, before, after, windows, file, what }: TaughtResult,
  { taught }: Pick<Taught, 'taught'>,
  heldOut: boolean,
) {
  const share = (value: number) => `${Math.round(100 * value)} %`;
  const on = heldOut
    ? `${windows} windows held out`
    : `the ${windows} windows that were marked (none are held out)`;
  const only = what === 'biases' ? ' (biases alone: what it learned before is not on this machine)' : '';
  const figures = `macro-F1 ${before.toFixed(3)} → ${after.toFixed(3)} on ${on}; of what was marked ${share(taught.before)} → ${share(taught.after)} right${only}`;
  return used
    ? `the last layer was learned anew and is in use: ${figures}; kept as ${file}`
    : `the model stays as it was: the one learned anew would be worse, ${figures}. Mark a few more, or start with --yes to use it all the same.`;
}
