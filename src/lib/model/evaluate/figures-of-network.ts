import type { Verdict } from './judge.js';
import type { NetworkFigures } from './schemas.js';

/** The figures of one network, without those that its kind of output does not have. */
export function networkFigures(verdict: Verdict): NetworkFigures {
  const { n, accuracy, macroF1, confusion, auc, calibrationError, mae, rmse, r2 } = verdict;
  if (accuracy === null || macroF1 === null)
    return mae === null || rmse === null ? { windows: n, auc } : { windows: n, mae, rmse, r2 };
  return { windows: n, accuracy, macroF1, confusion, auc, calibrationError };
}
