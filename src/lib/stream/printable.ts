import { isUtf8 } from 'node:buffer';

// C0, DEL, C1: what moves a terminal's cursor; and the marks that reverse the direction of writing.
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const unprintable = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** Text that cannot do anything to a terminal: control characters become \n, \xNN or \u{NNNN}. */
export function printable(text: string): string {
  return text.replace(unprintable, (char) => {
    const code = char.charCodeAt(0);
    if (char === '\n') return '\\n';
    if (char === '\t') return '\\t';
    return code < 256 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
  });
}

/** The same for whole lines: line feeds and tabs stay. */
export function printableLines(text: string): string {
  return text.replace(unprintable, (char) => (char === '\n' || char === '\t' ? char : printable(char)));
}

/** A payload on one line: its text, or its bytes as \xNN where it is not UTF-8. */
export function printablePayload(payload: Uint8Array): string {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
  return printable(bytes.toString(isUtf8(bytes) ? 'utf8' : 'latin1'));
}
