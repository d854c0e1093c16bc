import { doublingHighMultiply, roundingShiftRight, saturatingShiftLeft } from './fixed-point.js';

const most = 2147483647;
/** e^−(2^k) for k = −2 … 4, in Q0.31. */
const exponentials = [1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242];

/** e^a for a ≤ 0 in Q`integerBits`.(31 − integerBits), as Q0.31 (gemmlowp's exp_on_negative_values). */
export function exponential(a: number, integerBits: number): number {
  if (a === 0) return most;
  const fractionBits = 31 - integerBits;
  const quarter = 1 << (fractionBits - 2);
  // a = m − rem with m in [−1/4, 0): a polynomial for m, one factor per set bit of rem.
  const m = (a & (quarter - 1)) - quarter;
  const x = saturatingShiftLeft(m, integerBits) + (1 << 28);
  const x2 = doublingHighMultiply(x, x);
  const x3 = doublingHighMultiply(x2, x);
  const x4 = doublingHighMultiply(x2, x2);
  const cubic = doublingHighMultiply(roundingShiftRight(x4, 2) + x3, 715827883) + x2;
  const constant = 1895147668;
  let result = constant + doublingHighMultiply(constant, x + roundingShiftRight(cubic, 1));
  const remainder = m - a;
  exponentials.forEach((factor, index) => {
    const exponent = index - 2;
    if (exponent < integerBits && (remainder >> (fractionBits + exponent)) & 1)
      result = doublingHighMultiply(result, factor);
  });
  return integerBits > 5 && a < -(2 ** (36 - integerBits)) ? 0 : result;
}

/** 1/(1 + a) in Q2.29 for a in [0, 1] as Q0.31: three Newton-Raphson steps. */
function halfDenominatorInverse(a: number): number {
  const half = Math.floor((a + most + 1) / 2);
  let x = 1515870810 + doublingHighMultiply(half, -1010580540);
  for (let step = 0; step < 3; step++) {
    const error = (1 << 29) - doublingHighMultiply(half, x);
    x += saturatingShiftLeft(doublingHighMultiply(x, error), 2);
  }
  return x;
}

/** 1/(1 + a), Q0.31 → Q0.31. */
export function reciprocalOfOnePlus(a: number): number {
  return saturatingShiftLeft(halfDenominatorInverse(a), 1);
}

/** 1/(1 + e^−v) of v in Q4.27, as Q0.31. */
export function logistic(v: number): number {
  if (v === 0) return 1 << 30;
  const positive = reciprocalOfOnePlus(exponential(-Math.abs(v), 4));
  return v > 0 ? positive : most - positive;
}

/** tanh of v in Q4.27, as Q0.31: (1 − e^−2v)/(1 + e^−2v), where the same bits read as Q5.26 are 2v. */
export function tanh(v: number): number {
  if (v === 0) return 0;
  const inverse = halfDenominatorInverse(exponential(-Math.abs(v), 5));
  const positive = saturatingShiftLeft(inverse - (1 << 29), 2);
  return v > 0 ? positive : -positive;
}
