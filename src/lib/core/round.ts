/**
 * Nearest integer, halves away from zero: C's round(), TensorFlow Lite's TfLiteRound. Not floor(x + 0.5), which is off for
 * the number just below one half. Never −0, which no integer can hold.
 */
export function roundHalfAway(x: number): number {
  const whole = Math.trunc(x) + 0;
  if (Math.abs(x - whole) < 0.5) return whole;
  return x < 0 ? whole - 1 : whole + 1;
}
