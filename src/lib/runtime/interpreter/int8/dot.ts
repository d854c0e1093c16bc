/** Σ a[i]·b[i] over `length` int8 values from `a`'s and `b`'s starts on, in int32. */
export function dot(a: Int8Array, aStart: number, b: Int8Array, bStart: number, length: number): number {
  let sum = 0;
  let i = 0;
  // Four products a turn: the loop's bookkeeping costs as much as one product.
  for (; i < length - 3; i += 4) {
    const p = aStart + i;
    const q = bStart + i;
    sum =
      (sum +
        Math.imul(a[p]!, b[q]!) +
        Math.imul(a[p + 1]!, b[q + 1]!) +
        Math.imul(a[p + 2]!, b[q + 2]!) +
        Math.imul(a[p + 3]!, b[q + 3]!)) |
      0;
  }
  for (; i < length; i++) sum = (sum + Math.imul(a[aStart + i]!, b[bStart + i]!)) | 0;
  return sum;
}
