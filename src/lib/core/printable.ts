import { isUtf8 } from 'node:buffer';

// C0, DEL, C1: what moves a terminal's cursor; the marks that reverse the direction of writing; and Unicode's own ends of lines.
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const unprintable = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** Of these JSON.stringify leaves all but C0 as they are: U+009B begins a terminal's commands as ESC [ does. */
const unprintableInJson = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** Text that cannot do anything to a terminal: control characters become \n, \xNN or \u{NNNN}. */
export function printable(text: string): string {
  return text.replace(unprintable, (char) => {
    const code = char.charCodeAt(0);
    if (char === '\n') return '\\n';
    if (char === '\t') return '\\t';
    return code < 256 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
  });
}

/** The same for whole lines: line feeds and tabs stay, and CR LF is a line feed. */
export function printableLines(text: string): string {
  return text
    .replaceAll('\r\n', '\n')
    .replace(unprintable, (char) => (char === '\n' || char === '\t' ? char : printable(char)));
}

/** A payload on one line: its text, or its bytes as \xNN where it is not UTF-8. */
export function printablePayload(payload: Uint8Array): string {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
  return printable(bytes.toString(isUtf8(bytes) ? 'utf8' : 'latin1'));
}

/** A value as one line of JSON that a terminal shows and does not obey: the same value to whoever parses it. */
export function jsonLine(value: unknown): string {
  return printableJson(JSON.stringify(value));
}

/** The same of JSON that is text already: outside its strings there is none of these characters. */
export function printableJson(json: string): string {
  return json.replace(unprintableInJson, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
