/** Powers of ten that a double holds exactly. */
const tens = Float64Array.from({ length: 23 }, (_, i) => Number(`1e${i}`));

/** Most digits of the two halves of a long number: both are whole numbers that a double holds exactly. */
const firstDigits = 15;
const furtherDigits = 7;

export interface NumberReader {
  /** NaN for what is not a plain decimal number: no spaces, no words, no hexadecimal. */
  read(from: number, to: number): number;
}

/**
 * Decimal text to the nearest double, as Number() does it, and several times as fast: nearly all numbers are a whole number
 * of at most 22 digits over a power of ten up to 10²². The rest goes the way of Number().
 */
export function createNumberReader(bytes: Uint8Array): NumberReader {
  // Made when the first such number comes; a piece of it costs less than a piece of the bytes.
  let text: string | undefined;
  const slow = (from: number, to: number) => {
    text ??= Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
    return plainNumber(text.slice(from, to));
  };
  return {
    read(from, to) {
      let i = from;
      const minus = bytes[i] === 45;
      if (minus || bytes[i] === 43) i++;
      let first = 0;
      let further = 0;
      let digits = 0;
      let seen = 0;
      let after = 0;
      let point = false;
      for (; i < to; i++) {
        const c = bytes[i]!;
        if (c === 46 && !point) {
          point = true;
          continue;
        }
        if (c < 48 || c > 57) break;
        if (digits < firstDigits) first = first * 10 + (c - 48);
        else further = further * 10 + (c - 48);
        seen++;
        if (first > 0) digits++;
        if (point) after++;
      }
      if (i < to && seen > 0 && (bytes[i] === 101 || bytes[i] === 69)) {
        const exponent = exponentOf(bytes, i + 1, to);
        if (exponent === null) return slow(from, to);
        after -= exponent;
        i = to;
      }
      if (i < to || seen === 0 || digits > firstDigits + furtherDigits || after > 22 || after < 0) {
        return slow(from, to);
      }
      const value =
        digits <= firstDigits
          ? first / tens[after]!
          : quotient(first, tens[digits - firstDigits]!, further, tens[after]!);
      if (Number.isNaN(value)) return slow(from, to);
      return minus ? -value : value;
    },
  };
}

/** null when there is more than a sign and one to three digits. */
function exponentOf(bytes: Uint8Array, from: number, to: number): number | null {
  const minus = bytes[from] === 45;
  const start = minus || bytes[from] === 43 ? from + 1 : from;
  if (start >= to || to - start > 3) return null;
  let value = 0;
  for (let i = start; i < to; i++) {
    const c = bytes[i]!;
    if (c < 48 || c > 57) return null;
    value = value * 10 + (c - 48);
  }
  return minus ? -value : value;
}

/** 2²⁷ + 1 parts a double into two halves whose products are exact (Veltkamp and Dekker 1971). */
const splitter = 134217729;

/** What rounding takes from a·b. */
function productError(a: number, b: number, product: number): number {
  const ca = splitter * a;
  const ah = ca - (ca - a);
  const al = a - ah;
  const cb = splitter * b;
  const bh = cb - (cb - b);
  const bl = b - bh;
  return al * bl - (product - ah * bh - al * bh - ah * bl);
}

/** (a·scale + b) / divisor, rounded once: in twice the precision. NaN where it lies too near the middle of two doubles to tell. */
function quotient(a: number, scale: number, b: number, divisor: number): number {
  const product = a * scale;
  const rest = productError(a, scale, product) + b;
  const high = product + rest;
  const low = rest - (high - product);
  const q = high / divisor;
  const back = q * divisor;
  const remainder = high - back - productError(q, divisor, back);
  const correction = (remainder + low) / divisor;
  const doubt = ((Math.abs(remainder) + Math.abs(low)) / divisor) * 2 ** -49;
  const value = q + (correction - doubt);
  return value === q + (correction + doubt) ? value : Number.NaN;
}

/** Number() alone would take '', ' 1', '0x10' and 'Infinity'. */
function plainNumber(cell: string): number {
  if (cell.length === 0) return Number.NaN;
  for (let i = 0; i < cell.length; i++) {
    const c = cell.charCodeAt(i);
    // 0-9, then + - . e E
    if ((c < 48 || c > 57) && c !== 43 && c !== 45 && c !== 46 && c !== 101 && c !== 69) return Number.NaN;
  }
  return Number(cell);
}
