import type { Random } from '../src/lib/core/numbers.js';

/** Words that are difficult for parsers of any format. */
const usual = [
  ...[
    '__proto__',
    '"__proto__":{"x":1},',
    'constructor',
    'prototype',
    'toString',
    'hasOwnProperty',
    'valueOf',
    'length',
  ],
  ...[
    'NaN',
    'Infinity',
    '-0',
    '1e999',
    '9007199254740993',
    '-1',
    '4294967296',
    '0x10',
    'null',
    'true',
    '""',
    '{}',
    '[]',
  ],
  ...[
    '[[[[[[[[',
    '{"a":',
    '"\\ud800"',
    '\\u0000',
    '../../../etc/passwd',
    '..\\',
    '/',
    '\0',
    '\r\n',
    '\n',
    '\u001b[2J',
    '\u2028',
  ],
  ...[
    'é',
    '\ufeff',
    '\ud83d\ude00',
    '%s',
    '%00',
    `\${x}`,
    '{{x}}',
    '<script>',
    '*a',
    '&a ',
    '<<: ',
    '- ',
    ': ',
    ',',
    ';',
    '=',
  ],
];
const numbers = [
  0, 1, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xfffffff0,
  0xffffffff,
];

/**
 * Mutates inputs with no knowledge of their format, apart from a list of words. The same seed yields the same mutations.
 */
export class Mutator {
  private readonly words: readonly Buffer[];

  constructor(
    private readonly random: Random,
    words: readonly string[],
    private readonly longest: number,
  ) {
    this.words = [...usual, ...words, ...words].map((word) => Buffer.from(word));
  }

  below(n: number): number {
    return Math.floor(this.random() * n);
  }

  /** Makes one to eight changes to `input`, possibly with parts of `other`. */
  mutated(input: Buffer, other: Buffer): Buffer {
    let out: Buffer = Buffer.from(input);
    for (let left = 1 << this.below(4); left > 0; left--) out = this.once(out, other);
    return out.subarray(0, this.longest);
  }

  private once(bytes: Buffer, other: Buffer): Buffer {
    const at = this.below(bytes.length + 1);
    const length = 1 + this.below(this.below(8) === 0 ? bytes.length : 16);
    const splice = (put: Uint8Array, over = 0) =>
      Buffer.concat([bytes.subarray(0, at), put, bytes.subarray(at + over)]);
    switch (this.below(12)) {
      case 0:
        if (at < bytes.length) bytes[at]! ^= 1 << this.below(8);
        return bytes;
      case 1:
        if (at < bytes.length) bytes[at] = this.below(256);
        return bytes;
      case 2:
        if (at < bytes.length) bytes[at] = bytes[at]! + this.below(35) - 17;
        return bytes;
      case 3:
        return this.extreme(bytes, at);
      case 4:
        return splice(Buffer.alloc(0), length);
      case 5:
        return splice(this.words[this.below(this.words.length)]!);
      case 6: {
        const word = this.words[this.below(this.words.length)]!;
        return splice(word, word.length);
      }
      case 7: {
        const from = this.below(other.length + 1);
        return splice(other.subarray(from, from + length), this.below(2) * length);
      }
      case 8: {
        const from = this.below(bytes.length + 1);
        return splice(Buffer.from(bytes.subarray(from, from + length)));
      }
      case 9:
        return this.repeated(bytes, at, length);
      case 10:
        return this.below(4) === 0 ? bytes.subarray(0, at) : this.digit(bytes, at);
      default:
        return Buffer.concat([bytes.subarray(0, at), other.subarray(this.below(other.length + 1))]);
    }
  }

  /** Sets a number of 1, 2, 4 or 8 bytes to a boundary value. */
  private extreme(bytes: Buffer, at: number): Buffer {
    const chosen =
      this.below(3) === 0 ? bytes.length + this.below(3) - 1 : numbers[this.below(numbers.length)]!;
    const value = Math.max(0, chosen);
    const size = 1 << this.below(4);
    const whole = Buffer.alloc(8);
    if (this.below(2) === 0) whole.writeUIntLE(value, 0, 6);
    else if (size < 4) whole.writeUIntBE(value % 256 ** size, 0, size);
    else whole.writeUInt32BE(value, size - 4);
    whole.copy(bytes, Math.min(at, bytes.length), 0, size);
    return bytes;
  }

  /** Repeats a part many times, to imitate very deep nesting or very long lists. */
  private repeated(bytes: Buffer, at: number, length: number): Buffer {
    const piece = bytes.subarray(at, at + length);
    if (piece.length === 0) return bytes;
    const room = Math.max(0, this.longest - bytes.length);
    const times = Math.min(Math.floor(room / piece.length), 1 << this.below(this.below(8) === 0 ? 18 : 6));
    return Buffer.concat([
      bytes.subarray(0, at),
      Buffer.alloc(times * piece.length, piece),
      bytes.subarray(at),
    ]);
  }

  /** Changes a digit of a number in text form. */
  private digit(bytes: Buffer, at: number): Buffer {
    const found = bytes.subarray(at).findIndex((byte) => byte >= 0x30 && byte <= 0x39);
    if (found >= 0) bytes[at + found] = 0x30 + this.below(10);
    return bytes;
  }
}
