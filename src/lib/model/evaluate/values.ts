/** How far predicted values lie from the true ones. */
export interface ValueFigures {
  n: number;
  /** Mean absolute error, in the units of the values. */
  mae: number;
  /** Root of the mean squared error. */
  rmse: number;
  /** Share of the values' variance that is predicted; null where the true values are all equal. */
  r2: number | null;
}

/** Errors of one predicted value a row; all 0 without rows. `weights`: how often each row counts. */
export function valueFigures(
  truth: ArrayLike<number>,
  predicted: ArrayLike<number>,
  weights?: ArrayLike<number>,
): ValueFigures {
  let [n, absolute, squared, sum] = [0, 0, 0, 0];
  for (let row = 0; row < truth.length; row++) {
    const weight = weights ? weights[row]! : 1;
    const error = predicted[row]! - truth[row]!;
    n += weight;
    absolute += weight * Math.abs(error);
    squared += weight * error * error;
    sum += weight * truth[row]!;
  }
  if (n === 0) return { n: 0, mae: 0, rmse: 0, r2: null };
  let spread = 0;
  for (let row = 0; row < truth.length; row++)
    spread += (weights ? weights[row]! : 1) * (truth[row]! - sum / n) ** 2;
  return {
    n: truth.length,
    mae: absolute / n,
    rmse: Math.sqrt(squared / n),
    r2: spread === 0 ? null : 1 - squared / spread,
  };
}
