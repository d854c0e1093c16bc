/** Bytes as a C initializer, twelve a line. */
export function byteLines(bytes: Uint8Array): string {
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += 12) {
    const cells = Array.from(
      bytes.subarray(at, at + 12),
      (byte) => `0x${byte.toString(16).padStart(2, '0')}`,
    );
    lines.push(`    ${cells.join(', ')},`);
  }
  return lines.join('\n');
}

/** Words that C++ has taken (ISO C++17, 5.11) and that a model might be called. */
const taken =
  /^(auto|bool|case|char|class|const|default|delete|double|export|final|float|int|long|new|private|public|register|return|short|signed|static|std|switch|this|tflite|union|using|virtual|void)$/;

/** A name as an identifier: other characters become _, and what begins with a digit or is a word of C++ gets `model_` in front. */
export function cName(name: string): string {
  // Two underscores in a row are reserved for the implementation.
  const plain = name
    .replace(/[^A-Za-z0-9]+/g, '_')
    .replace(/^_+|_+$/g, '')
    .toLowerCase();
  return plain === '' || /^\d/.test(plain) || taken.test(plain) ? `model_${plain}`.replace(/_$/, '') : plain;
}

/** A float32 literal that reads back to the same number. */
export function cFloat(value: number): string {
  const digits = Math.fround(value).toPrecision(9);
  return `${/[.e]/.test(digits) ? digits : `${digits}.0`}f`;
}

/** Text for a string literal or a comment: on one line, with what would end it escaped. Other letters stay UTF-8. */
export function cText(text: string): string {
  return (
    text
      .replace(/[\\"]/g, (sign) => `\\${sign}`)
      // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what has to go
      .replace(/[\u0000-\u001f\u007f]/g, ' ')
      // Trigraphs, and a comment that would go on in the next line.
      .replace(/\?\?/g, '?\\?')
  );
}
