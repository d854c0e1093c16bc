export const autoregressionOrder = 4;
const order = autoregressionOrder;

/**
 * Coefficients of an autoregressive model by the Yule-Walker equations, each lag's sum divided by the number of its terms
 * (statsmodels calls that `adjusted`). 0 for a constant signal.
 * @param centred the signal without its mean
 * @param out the coefficients from lag 1 on
 */
export function createYuleWalker(): (centred: Float64Array, out: Float64Array) => void {
  const r = new Float64Array(order + 1);
  const matrix = new Float64Array(order * (order + 1));
  return (centred, out) => {
    const n = centred.length;
    for (let lag = 0; lag <= order; lag++) {
      let sum = 0;
      for (let i = lag; i < n; i++) sum += centred[i]! * centred[i - lag]!;
      r[lag] = sum / (n - lag);
    }
    const width = order + 1;
    for (let row = 0; row < order; row++) {
      for (let column = 0; column < order; column++)
        matrix[row * width + column] = r[Math.abs(row - column)]!;
      matrix[row * width + order] = r[row + 1]!;
    }
    solve(matrix, out);
  };
}

/** Gauss with row exchange over [A | b]; all 0 when A is singular. */
function solve(matrix: Float64Array, out: Float64Array): void {
  const width = order + 1;
  out.fill(0);
  for (let pivot = 0; pivot < order; pivot++) {
    let best = pivot;
    for (let row = pivot + 1; row < order; row++) {
      if (Math.abs(matrix[row * width + pivot]!) > Math.abs(matrix[best * width + pivot]!)) best = row;
    }
    if (Math.abs(matrix[best * width + pivot]!) < 1e-300) return;
    for (let column = 0; column < width; column++) {
      const kept = matrix[pivot * width + column]!;
      matrix[pivot * width + column] = matrix[best * width + column]!;
      matrix[best * width + column] = kept;
    }
    for (let row = pivot + 1; row < order; row++) {
      const factor = matrix[row * width + pivot]! / matrix[pivot * width + pivot]!;
      for (let column = pivot; column < width; column++) {
        matrix[row * width + column]! -= factor * matrix[pivot * width + column]!;
      }
    }
  }
  for (let row = order - 1; row >= 0; row--) {
    let sum = matrix[row * width + order]!;
    for (let column = row + 1; column < order; column++) sum -= matrix[row * width + column]! * out[column]!;
    out[row] = sum / matrix[row * width + row]!;
  }
}

/**
 * The same by Burg's method (Burg 1975): each reflection coefficient makes the forward and backward errors least, and Levinson's
 * recursion turns them into coefficients. 0 for a constant signal.
 */
export function createBurg(n: number): (centred: Float64Array, out: Float64Array) => void {
  const forward = new Float64Array(n);
  const backward = new Float64Array(n);
  const before = new Float64Array(order);
  return (centred, out) => {
    forward.set(centred);
    backward.set(centred);
    out.fill(0);
    let top = 0;
    let bottom = 0;
    for (let i = 1; i < n; i++) {
      top += centred[i]! * centred[i - 1]!;
      bottom += centred[i]! * centred[i]! + centred[i - 1]! * centred[i - 1]!;
    }
    for (let m = 1; m <= order; m++) {
      if (bottom <= 0) return;
      const reflection = (2 * top) / bottom;
      before.set(out);
      for (let j = 0; j < m - 1; j++) out[j] = before[j]! - reflection * before[m - 2 - j]!;
      out[m - 1] = reflection;
      if (m === order) return;
      top = 0;
      bottom = 0;
      // The errors of this order, and in the same pass the sums of the next, which pairs each with the one before it.
      let b = backward[m - 1]!;
      let kept = 0;
      for (let i = m; i < n; i++) {
        const f = forward[i]!;
        const error = f - reflection * b;
        const back = b - reflection * f;
        b = backward[i]!;
        forward[i] = error;
        backward[i] = back;
        if (i > m) {
          top += error * kept;
          bottom += error * error + kept * kept;
        }
        kept = back;
      }
    }
  };
}
