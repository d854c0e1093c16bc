import { hex } from '../../core/figures.js';
/** Bytes as a C initializer, twelve per line. */
export function byteLines(bytes: Uint8Array): string {
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += 12) {
    const cells = Array.from(bytes.subarray(at, at + 12), (byte) => hex(byte, 2));
    lines.push(`    ${cells.join(', ')},`);
  }
  return lines.join('\n');
}

/** C++ keywords (ISO C++17, 5.11) and namespaces that might be used as a model's name. */
const taken =
  /^(auto|bool|case|char|class|const|default|delete|double|export|final|float|int|long|new|private|public|register|return|short|signed|static|std|switch|this|tflite|union|using|virtual|void)$/;

/**
 * Converts a name to an identifier. Invalid characters become _. Names that start with a digit or are C++ keywords get the prefix `model_`.
 */
export function cName(name: string): string {
  // Two consecutive underscores are reserved for the implementation.
  const plain = name
    .replace(/[^A-Za-z0-9]+/g, '_')
    .replace(/^_+|_+$/g, '')
    .toLowerCase();
  return plain === '' || /^\d/.test(plain) || taken.test(plain) ? `model_${plain}`.replace(/_$/, '') : plain;
}

/** A float32 literal that parses back to the same number. */
export function cFloat(value: number): string {
  const digits = Math.fround(value).toPrecision(9);
  return `${/[.e]/.test(digits) ? digits : `${digits}.0`}f`;
}

/** Text for a string literal or a comment: on one line, with terminators escaped. Non-ASCII letters stay UTF-8. */
export function cText(text: string): string {
  return (
    text
      .replace(/[\\"]/g, (sign) => `\\${sign}`)
      // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters must be removed
      .replace(/[\u0000-\u001f\u007f]/g, ' ')
      // Breaks up `??`, which begins a trigraph; the trigraph for a backslash would continue a comment on the next line.
      .replace(/\?\?/g, '?\\?')
  );
}
