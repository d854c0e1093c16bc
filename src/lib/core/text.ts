import { isUtf8 } from 'node:buffer';

/** The candidate that needs the fewest edits to become `word`, when that is few enough to be a slip, and `most` at most. */
export function nearest(
  word: string,
  candidates: readonly string[],
  most = Number.POSITIVE_INFINITY,
): string | undefined {
  if (word === '') return undefined;
  let best: string | undefined;
  let fewest = Math.min(most, Math.max(1, Math.floor(word.length / 3))) + 1;
  for (const candidate of candidates) {
    if (Math.abs(candidate.length - word.length) >= fewest) continue;
    const edits = distance(word, candidate);
    if (edits < fewest) [best, fewest] = [candidate, edits];
  }
  return best;
}

/** `; did you mean pump?` to end a sentence with that refuses a name; empty where none of the known ones is near. */
export function didYouMean(word: string, known: readonly string[]): string {
  const near = nearest(word, known);
  return near === undefined ? '' : `; did you mean ${near}?`;
}

/** Characters inserted, deleted, replaced, and swapped with their neighbour, which is how most slips come about (optimal string alignment). */
function distance(a: string, b: string): number {
  let twoAbove: number[] = [];
  let above: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    [twoAbove, above, row] = [above, row, [i]];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (above[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swapped =
        i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
          ? (twoAbove[j - 2] ?? 0) + 1
          : Number.POSITIVE_INFINITY;
      row[j] = Math.min(replaced, swapped, (above[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1);
    }
  }
  return row[b.length] ?? 0;
}

// C0, DEL, C1: what moves a terminal's cursor; the marks that reverse the direction of writing; and Unicode's own ends of lines.
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const unprintable = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** JSON.stringify escapes C0 and leaves these as they are: U+009B begins a terminal's commands as ESC [ does. */
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

/** Words that need no quotes; a backslash is a part of Windows' paths, and an escape elsewhere. */
const plain = process.platform === 'win32' ? /^[\w@%+=:,./\\-]+$/ : /^[\w@%+=:,./-]+$/;

/** A word as a shell takes it: quoted when it holds more than what a plain path does. */
export function shellWord(text: string): string {
  if (plain.test(text)) return text;
  // Double quotes do in every shell; within them a POSIX shell still reads these.
  return /["$`\\!]/.test(text) ? `'${text.replaceAll("'", "'\\''")}'` : `"${text}"`;
}

const entities: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  '\n': '&#10;',
  '\r': '&#13;',
  '\t': '&#9;',
};

/**
 * A text for an element or an attribute in double quotes. XML 1.0, section 2.2: most control characters and lone surrogates cannot be in
 * a document at all.
 */
export function xmlText(text: string): string {
  return text
    .replaceAll(/[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/gu, '\uFFFD')
    .replaceAll(/[&<>"\n\r\t]/g, (letter) => entities[letter] ?? letter);
}

/** A label's value in Prometheus' text format 0.0.4: a backslash, a quote and a newline are written with a backslash, nothing else is. */
export function labelValue(text: string): string {
  return text.replace(/[\\"\n]/g, (char) => (char === '\n' ? '\\n' : `\\${char}`));
}
