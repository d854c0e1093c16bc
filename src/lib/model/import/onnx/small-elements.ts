/**
 * ONNX's elements of 4 and 8 bits other than int8 and uint8 (onnx.ai/onnx/technical/float8.html, int4.html and float4.html). They occur in
 * constants: the import computes with their values, and models store them as float32.
 */
import { roundHalfEven } from '../../../core/numbers.js';

export type SmallType =
  | 'float8e4m3fn'
  | 'float8e4m3fnuz'
  | 'float8e5m2'
  | 'float8e5m2fnuz'
  | 'float4e2m1'
  | 'int4'
  | 'uint4';

interface SmallFloat {
  bits: 4 | 8;
  mantissaBits: number;
  bias: number;
  largest: number;
  /**
   * The codes that are not finite numbers. `ieee`: those with the largest exponent are infinity and NaN. `last`: the largest code is NaN.
   * `zero`: the code of −0 is NaN. `none`: there are none.
   */
  special: 'ieee' | 'last' | 'zero' | 'none';
}

const floats = {
  float8e4m3fn: { bits: 8, mantissaBits: 3, bias: 7, largest: 448, special: 'last' },
  float8e4m3fnuz: { bits: 8, mantissaBits: 3, bias: 8, largest: 240, special: 'zero' },
  float8e5m2: { bits: 8, mantissaBits: 2, bias: 15, largest: 57344, special: 'ieee' },
  float8e5m2fnuz: { bits: 8, mantissaBits: 2, bias: 16, largest: 57344, special: 'zero' },
  float4e2m1: { bits: 4, mantissaBits: 1, bias: 1, largest: 6, special: 'none' },
} as const satisfies Record<string, SmallFloat>;

type SmallFloatType = keyof typeof floats;

export function isSmall(type: string): type is SmallType {
  return isSmallFloat(type) || type === 'int4' || type === 'uint4';
}

export function isSmallFloat(type: string): type is SmallFloatType {
  return Object.hasOwn(floats, type);
}

/** Number of bits of an element. */
export function bitsOf(type: SmallType): 4 | 8 {
  return isSmallFloat(type) ? floats[type].bits : 4;
}

/** The value of an element. @param code its bits */
export function smallValue(type: SmallType, code: number): number {
  if (type === 'uint4') return code;
  if (type === 'int4') return code > 7 ? code - 16 : code;
  const { bits, mantissaBits, bias, special }: SmallFloat = floats[type];
  const isNegative = code >> (bits - 1) === 1;
  const size = code & (2 ** (bits - 1) - 1);
  if (special === 'zero' && isNegative && size === 0) return Number.NaN;
  if (special === 'last' && size === 2 ** (bits - 1) - 1) return Number.NaN;
  const exponent = size >> mantissaBits;
  const mantissa = size & (2 ** mantissaBits - 1);
  const sign = isNegative ? -1 : 1;
  if (special === 'ieee' && exponent === 2 ** (bits - 1 - mantissaBits) - 1)
    return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  const fraction = mantissa / 2 ** mantissaBits;
  // Exponent 0 marks the numbers below the smallest normal one.
  return sign * (exponent === 0 ? fraction * 2 ** (1 - bias) : (1 + fraction) * 2 ** (exponent - bias));
}

/**
 * A number converted to this type. Real numbers: the nearest value; of two, the even one. A number beyond the range becomes the largest one;
 * without `saturates`, it becomes infinite in a type that has infinity, and otherwise NaN. Integers: rounded, halves away from 0, and of the
 * result the lowest 4 bits, as ONNX Runtime does.
 */
export function toSmall(type: SmallType, value: number, saturates: boolean): number {
  if (!isSmallFloat(type)) {
    const whole = Math.sign(value) * Math.round(Math.abs(value));
    return smallValue(type, ((whole % 16) + 16) % 16);
  }
  const { mantissaBits, bias, largest, special }: SmallFloat = floats[type];
  // The only types without NaN are those of 4 bits: there, the largest number takes its place.
  if (Number.isNaN(value)) return special === 'none' ? largest : value;
  const step = 2 ** (Math.max(exponentOf(value), 1 - bias) - mantissaBits);
  const rounded = Number.isFinite(value) ? roundHalfEven(value / step) * step : value;
  if (Math.abs(rounded) <= largest) return special === 'zero' && rounded === 0 ? 0 : rounded;
  const sign = Math.sign(rounded);
  if (saturates || special === 'none') return sign * largest;
  return special === 'ieee' ? sign * Number.POSITIVE_INFINITY : Number.NaN;
}

/** Exponent of the largest power of two that is not larger than the value without its sign. */
function exponentOf(value: number): number {
  const size = Math.abs(value);
  if (size === 0 || !Number.isFinite(size)) return 0;
  const near = Math.floor(Math.log2(size));
  return 2 ** near > size ? near - 1 : 2 ** (near + 1) <= size ? near + 1 : near;
}
