/**
 * sums[r] = Σ weights[first + r][i] · x[start + i] for `rows` rows of `length` values. Kept in double precision and
 * rounded once, so results are at least as exact as a float kernel's. Four rows at a time, as for int8.
 */
export function rowSums(
  weights: Float32Array,
  first: number,
  rows: number,
  x: Float32Array,
  start: number,
  length: number,
  sums: Float64Array,
): void {
  let row = 0;
  for (; row < rows - 3; row += 4) {
    const w0 = (first + row) * length;
    const w1 = w0 + length;
    const w2 = w1 + length;
    const w3 = w2 + length;
    let s0 = 0;
    let s1 = 0;
    let s2 = 0;
    let s3 = 0;
    for (let i = 0; i < length; i++) {
      const value = x[start + i]!;
      s0 += weights[w0 + i]! * value;
      s1 += weights[w1 + i]! * value;
      s2 += weights[w2 + i]! * value;
      s3 += weights[w3 + i]! * value;
    }
    sums[row] = s0;
    sums[row + 1] = s1;
    sums[row + 2] = s2;
    sums[row + 3] = s3;
  }
  for (; row < rows; row++) {
    const w = (first + row) * length;
    let sum = 0;
    for (let i = 0; i < length; i++) sum += weights[w + i]! * x[start + i]!;
    sums[row] = sum;
  }
}
