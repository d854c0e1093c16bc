import { unsupported } from '../errors.js';
import type { Lower } from './call.js';
import { asReal, asWhole, chosen, counted } from './choices.js';
import { type Constant, constantOf, isReal } from './constants.js';
import { type Activation, isNonNegative, type OnnxMaker, type Value } from './maker.js';
import { broadcastShape } from './node.js';
import { plainBinary, plainUnary, scalar } from './pointwise.js';

/** Largest whole exponent for which a power is a chain of products. */
const mostFactors = 16;

/**
 * A power. Small whole constant exponents are products, and halves a SQRT. Any other power is e^(y · ln|x|), negative if x is negative and
 * y odd. LOG yields −∞ for 0, and EXP 0 for −∞.
 */
const power: Lower = (call) => {
  const { maker, where } = call;
  const [base, exponent] = [call.value(0), call.value(1)];
  if (base.kind === 'activation' && exponent.kind === 'constant') {
    const shape = broadcastShape(base.shape, exponent.shape, where);
    const y = wholePower(maker, base, exponent) ?? rootOf(maker, base, exponent);
    // An exponent may have more axes than its base, or longer ones.
    const ones = () =>
      constantOf(exponent.type, exponent.shape, new Float32Array(exponent.data.length).fill(1));
    if (y) return y.shape.join() === shape.join() ? y : maker.two('MUL', y, ones());
  }
  const isInteger = (value: Value) =>
    value.kind === 'constant' ? !isReal(value.type) : maker.isWhole(value);
  if (isInteger(base) && exponent.kind === 'constant')
    throw unsupported(
      where,
      'integers have only constant exponents from 0 to 16',
      'convert both with Cast to float32',
    );
  const y = anyPower(maker, asReal(maker, base), asReal(maker, exponent));
  return isInteger(base) ? asWhole(maker, maker.two('MUL', y, scalar(aboveRounding))) : y;
};

/** Integer powers are rounded towards 0. This factor raises those that float32 rounded down, such as 728.9999 for 3⁶. */
const aboveRounding = 1 + 2 ** -19;

/** Powers by whole constants, as products of squares; undefined for other exponents. */
function wholePower(maker: OnnxMaker, x: Activation, exponent: Constant): Activation | undefined {
  const { data } = exponent;
  if (!data.every((n) => Number.isInteger(n) && n >= 0 && n <= mostFactors)) return undefined;
  let y: Activation | undefined;
  let square = x;
  for (let bit = 1; bit <= mostFactors; bit *= 2) {
    if (bit > 1 && data.some((n) => n >= bit)) square = maker.two('MUL', square, square);
    const isFactor = truthOf(exponent, (n) => Math.floor(n / bit) % 2 === 1);
    if (isNever(isFactor)) continue;
    // A square that overflows must not reach the powers without it, and ∞ · 0 is not a number.
    const factor = isAlways(isFactor) ? square : chosen(maker, isFactor, square, scalar(1));
    y = y === undefined ? factor : maker.two('MUL', y, factor);
  }
  const always = truthOf(exponent, () => true);
  return y ?? chosen(maker, always, scalar(1), x);
}

/** A square root, or the inverse of a root or of a whole power; undefined for other exponents. */
function rootOf(maker: OnnxMaker, x: Activation, { data, shape, type }: Constant): Activation | undefined {
  const [n = 1] = data;
  if (maker.isWhole(x) || data.some((each) => each !== n)) return undefined;
  if (n === 0.5) return plainUnary(maker, 'SQRT', x);
  if (n === -0.5) return plainUnary(maker, 'RSQRT', x);
  const inverse =
    n < 0
      ? wholePower(
          maker,
          x,
          constantOf(
            type,
            shape,
            data.map((each) => -each),
          ),
        )
      : undefined;
  return inverse && plainBinary(maker, 'DIV', scalar(1), inverse);
}

const loggedConstant = ({ shape, data }: Constant): Constant =>
  constantOf(
    'float32',
    shape,
    data.map((value) => Math.log(Math.abs(value))),
  );

function anyPower(maker: OnnxMaker, base: Value, exponent: Value): Activation {
  const isPositive =
    base.kind === 'constant' ? base.data.every((value) => value > 0) : isNonNegative(maker, base);
  if (base.kind === 'constant') {
    if (!isPositive)
      throw unsupported(maker.where, 'its base is a constant that is not positive', 'use a positive base');
    return plainUnary(maker, 'EXP', maker.two('MUL', exponent, loggedConstant(base)));
  }
  // A negative base has no power by a fraction, for which its logarithm yields NaN, as it should.
  const exact = (value: number) => Number.isInteger(value);
  const logarithm = (whole: boolean) =>
    plainUnary(maker, 'LOG', whole && !isPositive ? plainUnary(maker, 'ABS', base) : base);
  if (exponent.kind === 'constant' && exponent.data.every((value) => !exact(value)))
    return plainUnary(maker, 'EXP', maker.two('MUL', exponent, logarithm(false)));
  const isWhole =
    exponent.kind === 'constant'
      ? truthOf(exponent, exact)
      : plainBinary(maker, 'EQUAL', plainUnary(maker, 'FLOOR', exponent), exponent);
  const isZero =
    exponent.kind === 'constant'
      ? truthOf(exponent, (value) => value === 0)
      : plainBinary(maker, 'EQUAL', exponent, scalar(0));
  const logged =
    isPositive || isAlways(isWhole)
      ? logarithm(true)
      : chosen(maker, isWhole, logarithm(true), logarithm(false));
  const product = maker.two('MUL', exponent, logged);
  // 0⁰ is 1, but 0 · ln 0 is not a number.
  const size = plainUnary(
    maker,
    'EXP',
    isNever(isZero) ? product : chosen(maker, isZero, scalar(0), product),
  );
  if (isPositive) return size;
  const isOdd =
    exponent.kind === 'constant'
      ? constantOf(
          'float32',
          exponent.shape,
          exponent.data.map((value) => Number(Math.abs(value % 2) === 1)),
        )
      : maker.two(
          'SUB',
          exponent,
          maker.two('MUL', plainUnary(maker, 'FLOOR', maker.two('MUL', exponent, scalar(0.5))), scalar(2)),
        );
  if (isOdd.kind === 'constant' && isOdd.data.every((value) => value === 0)) return size;
  const isNegative = counted(maker, plainBinary(maker, 'LESS', base, scalar(0)));
  const sign = maker.two('SUB', scalar(1), maker.two('MUL', maker.two('MUL', isNegative, isOdd), scalar(2)));
  return maker.two('MUL', size, sign);
}

const truthOf = ({ shape, data }: Constant, holds: (value: number) => boolean): Constant =>
  constantOf(
    'bool',
    shape,
    data.map((value) => Number(holds(value))),
  );

const isAlways = (test: Value) => test.kind === 'constant' && test.data.every((value) => value !== 0);
const isNever = (test: Value) => test.kind === 'constant' && test.data.every((value) => value === 0);

export const powerRows: Readonly<Record<string, Lower>> = { Pow: power };
