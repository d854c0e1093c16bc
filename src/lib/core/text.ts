import { isUtf8 } from 'node:buffer';

/**
 * The candidates that need the fewest edits to become `word`; none if that is more than a typo would need, or more than `most`. A word of
 * one character has none: any other character would be as near.
 */
export function nearestOnes(
  word: string,
  candidates: readonly string[],
  most = Number.POSITIVE_INFINITY,
): string[] {
  if (word.length < 2) return [];
  let best: string[] = [];
  let fewest = Math.min(most, Math.max(1, Math.floor(word.length / 3)));
  for (const candidate of candidates) {
    if (Math.abs(candidate.length - word.length) > fewest) continue;
    const edits = distance(word, candidate);
    if (edits > fewest) continue;
    best = edits < fewest ? [candidate] : [...best, candidate];
    fewest = edits;
  }
  return best;
}

/** The first of the nearest candidates. */
export function nearest(word: string, candidates: readonly string[], most?: number): string | undefined {
  return nearestOnes(word, candidates, most)[0];
}

/**
 * `. Did you mean pump?` as the end of a sentence that rejects a name; empty if no known name is similar. `motor` also suggests
 * `motor-watch` if no other name begins with a similar word.
 */
export function didYouMean(word: string, known: readonly string[], most?: number): string {
  const near = nearest(word, known, most) ?? nearestBeginning(word, known, most);
  return near === undefined ? '' : `. Did you mean ${near}?`;
}

/** The only name that begins with `word`, or whose first words are similar to it. Short words match too many names. */
function nearestBeginning(word: string, known: readonly string[], most?: number): string | undefined {
  const count = word.split('-').length;
  const near = known.filter(
    (name) => name.startsWith(word) || nearest(word, [name.split('-').slice(0, count).join('-')], most),
  );
  return word.length < 4 || near.length > 1 ? undefined : near[0];
}

/** Number of edits between two words: insertions, deletions, replacements, and swaps of neighbors (optimal string alignment). */
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

// C0, DEL and C1 move a terminal's cursor. The others are bidirectional marks and Unicode's line separators.
// biome-ignore lint/suspicious/noControlCharactersInRegex: the pattern must match control characters
const unprintable = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** Unsafe characters that JSON.stringify does not escape. U+009B begins terminal commands, like ESC [. */
const unprintableInJson = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** Makes text safe for a terminal: control characters become \n, \xNN or \u{NNNN}. */
export function printable(text: string): string {
  return text.replace(unprintable, (char) => {
    const code = char.charCodeAt(0);
    if (char === '\n') return '\\n';
    if (char === '\t') return '\\t';
    return code < 256 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
  });
}

/** Makes lines safe for a terminal. Line feeds and tabs are preserved, and CR LF becomes a line feed. */
export function printableLines(text: string): string {
  return text
    .replaceAll('\r\n', '\n')
    .replace(unprintable, (char) => (char === '\n' || char === '\t' ? char : printable(char)));
}

/** A payload on one line, as text, or with bytes as \xNN if it is not UTF-8. */
export function printablePayload(payload: Uint8Array): string {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
  return printable(bytes.toString(isUtf8(bytes) ? 'utf8' : 'latin1'));
}

/** The value of a JSON text; undefined, which is not a JSON value, if the text is not JSON. */
export function parsedJson(text: string | Buffer): unknown {
  try {
    return JSON.parse(text.toString());
  } catch {
    return undefined;
  }
}

/** Bytes as text: UTF-8, or base64 if they are not UTF-8. */
export function textOrBase64(data: Uint8Array): string {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return bytes.toString(isUtf8(bytes) ? 'utf8' : 'base64');
}

/** A value as one line of JSON that is safe for a terminal and parses to the same value. */
export function jsonLine(value: unknown): string {
  return printableJson(JSON.stringify(value));
}

/** Makes JSON text safe for a terminal. Unsafe characters can occur only in its strings, so escaping them does not change its value. */
export function printableJson(json: string): string {
  return json.replace(unprintableInJson, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** Words that need no quotes. On Windows, a backslash is part of a path; in other shells, it is an escape. */
const plain = process.platform === 'win32' ? /^[\w@%+=:,./\\-]+$/ : /^[\w@%+=:,./-]+$/;

/** A shell word, quoted unless it contains only characters of a plain path. */
export function shellWord(text: string): string {
  if (plain.test(text)) return text;
  // Double quotes work in every shell, but a POSIX shell still interprets these characters within them.
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
 * Text escaped for an element or a double-quoted attribute. Most control characters and lone surrogates become U+FFFD, because
 * XML 1.0, section 2.2, excludes them.
 */
export function xmlText(text: string): string {
  return text
    .replaceAll(/[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/gu, '\uFFFD')
    .replaceAll(/[&<>"\n\r\t]/g, (letter) => entities[letter] ?? letter);
}
