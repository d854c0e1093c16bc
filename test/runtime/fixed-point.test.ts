import { describe, expect, it } from 'vitest';
import {
  doublingHighMultiply,
  exponential,
  frexp,
  logistic,
  multiply64,
  multiplyByQuantized,
  quantizeMultiplier,
  reciprocalOfOnePlus,
  roundingShiftRight,
  tanh,
} from '../../src/lib/runtime/interpreter/fixed-point.js';
import { fc, runs } from '../support/property.js';

const int32 = () =>
  fc.oneof(
    fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
    fc.constantFrom(-(2 ** 31), -(2 ** 31) + 1, -1, 0, 1, 2 ** 30, 2 ** 31 - 1),
  );

describe('integer primitives', () => {
  it('multiply high exactly like 64-bit arithmetic', () => {
    fc.assert(
      fc.property(int32(), int32(), (a, b) => {
        const exact = (BigInt(a) * BigInt(b) + (1n << 30n)) >> 31n;
        expect(doublingHighMultiply(a, b)).toBe(Number(exact > 2147483647n ? 2147483647n : exact));
      }),
      { numRuns: runs(20_000) },
    );
  });

  it('multiply small and large 64-bit sums exactly by 15 bits of the multiplier', () => {
    const sum = fc.oneof(
      fc.integer({ min: -(2 ** 38) - 9, max: 2 ** 38 + 9 }),
      fc.integer({ min: -(2 ** 46), max: 2 ** 46 }),
    );
    const multiplier = fc.integer({ min: 2 ** 30, max: 2 ** 31 - 1 });
    fc.assert(
      fc.property(sum, multiplier, fc.integer({ min: -31, max: 8 }), (x, m, shift) => {
        const reduced = m < 0x7fff0000 ? BigInt((m + 32768) >> 16) : 0x7fffn;
        const exact = (BigInt(x) * reduced + (1n << BigInt(14 - shift))) >> BigInt(15 - shift);
        expect(multiply64(x, m, shift)).toBe(Number(BigInt.asIntN(32, exact)));
      }),
      { numRuns: runs(20_000) },
    );
  });

  it('shift right, rounding to the nearest, with ties away from zero', () => {
    fc.assert(
      fc.property(int32(), fc.integer({ min: 0, max: 31 }), (x, exponent) => {
        // A double represents x / 2^exponent exactly.
        const real = x / 2 ** exponent;
        const nearest = real < 0 ? -Math.round(-real) : Math.round(real);
        expect(roundingShiftRight(x, exponent) + 0).toBe(nearest + 0);
      }),
      { numRuns: runs(20_000) },
    );
  });

  it('split a number into fraction and exponent, even at powers of two', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 1e-30, max: 1e30, noNaN: true }),
        fc.integer({ min: -90, max: 90 }),
        (real, power) => {
          for (const r of [real, 2 ** power, 2 ** power * (1 - 2 ** -53)]) {
            const { fraction, exponent } = frexp(r);
            expect(fraction).toBeGreaterThanOrEqual(0.5);
            expect(fraction).toBeLessThan(1);
            expect(fraction * 2 ** exponent).toBe(r);
          }
        },
      ),
    );
  });

  it('keep 31 bits of a real multiplier', () => {
    expect(quantizeMultiplier(0)).toEqual({ multiplier: 0, shift: 0 });
    expect(quantizeMultiplier(1)).toEqual({ multiplier: 2 ** 30, shift: 1 });
    expect(quantizeMultiplier(0.75)).toEqual({ multiplier: 0.75 * 2 ** 31, shift: 0 });
    // This rounds up to 2^31, so the exponent increases by one.
    expect(quantizeMultiplier(1 - 2 ** -40)).toEqual({ multiplier: 2 ** 30, shift: 1 });
    expect(quantizeMultiplier(2 ** -33)).toEqual({ multiplier: 0, shift: 0 });
  });

  it('multiply by a real number to within one', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: -(2 ** 20), max: 2 ** 20 }),
        fc.double({ min: 1e-7, max: 500, noNaN: true }),
        (x, r) => {
          const { multiplier, shift } = quantizeMultiplier(r);
          expect(Math.abs(multiplyByQuantized(x, multiplier, shift) - x * r)).toBeLessThanOrEqual(1);
        },
      ),
    );
  });
});

describe('fixed-point functions', () => {
  const grid = Array.from({ length: 400 }, (_, i) => -i * 0.02);

  it('compute e^a on negative numbers', () => {
    for (const integerBits of [4, 5])
      for (const a of grid)
        expect(exponential(Math.round(a * 2 ** (31 - integerBits)), integerBits) / 2 ** 31).toBeCloseTo(
          Math.exp(a),
          6,
        );
  });

  it('compute 1/(1 + a) on [0, 1]', () => {
    for (let i = 0; i < 400; i++)
      expect(reciprocalOfOnePlus(Math.floor((i / 400) * 2 ** 31)) / 2 ** 31).toBeCloseTo(
        1 / (1 + i / 400),
        6,
      );
  });

  it('compute the logistic function and the hyperbolic tangent on both sides of zero', () => {
    for (const v of grid.flatMap((a) => [a, -a])) {
      const fixed = Math.round(v * 2 ** 27);
      expect(logistic(fixed) / 2 ** 31).toBeCloseTo(1 / (1 + Math.exp(-v)), 6);
      expect(tanh(fixed) / 2 ** 31).toBeCloseTo(Math.tanh(v), 6);
    }
  });
});
