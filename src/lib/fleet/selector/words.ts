import { AiotError } from '../../core/index.js';

/** A piece of a selector, and the column that it begins at, from 1. */
export interface Word {
  kind: 'word' | 'quoted' | 'sign' | 'end';
  /** Of a quoted one without its quotes. */
  text: string;
  column: number;
}

/** What a value may be without quotes. */
const plain = /[\p{L}\p{N}_.:@/+*?%-]+/uy;
const signs = ['!=', '<=', '>=', '=', '<', '>', '~', '(', ')', ','];

export const keywords: ReadonlySet<string> = new Set(['and', 'or', 'not', 'in', 'has', 'all']);

/** The pieces, with one for the end. @throws AIOT_SELECTOR_INVALID */
export function wordsOf(text: string): Word[] {
  const words: Word[] = [];
  for (let i = 0; i < text.length; ) {
    const column = i + 1;
    const letter = String.fromCodePoint(text.codePointAt(i) ?? 0);
    const word = plainAt(text, i);
    const sign = signs.find((each) => text.startsWith(each, i));
    if (/\s/.test(letter)) i++;
    else if (sign !== undefined) {
      words.push({ kind: 'sign', text: sign, column });
      i += sign.length;
    } else if (letter === '"' || letter === "'") {
      const { value, end } = quoted(text, i);
      words.push({ kind: 'quoted', text: value, column });
      i = end;
    } else if (word !== '') {
      words.push({ kind: 'word', text: word, column });
      i += word.length;
    } else throw invalid(column, 'a key, an operator or a value (others in quotes)', `"${letter}"`);
  }
  return [...words, { kind: 'end', text: '', column: text.length + 1 }];
}

function plainAt(text: string, from: number): string {
  plain.lastIndex = from;
  return plain.exec(text)?.[0] ?? '';
}

/** From a quote to its twin; a backslash takes the meaning of the character after it. */
function quoted(text: string, from: number): { value: string; end: number } {
  let value = '';
  for (let i = from + 1; i < text.length; i++) {
    if (text[i] === text[from]) return { value, end: i + 1 };
    if (text[i] === '\\') i++;
    value += text[i] ?? '';
  }
  throw invalid(text.length + 1, `the quote ${text[from]} of column ${from + 1} to end`, 'the end');
}

export function invalid(column: number, expected: string, got: string): AiotError {
  return new AiotError(
    'AIOT_SELECTOR_INVALID',
    `the selector, column ${column}: expected ${expected}, got ${got}`,
  );
}

/** A value as a selector takes it: in quotes where it needs them. */
export function valueText(value: string): string {
  if (value !== '' && plainAt(value, 0) === value && !keywords.has(value.toLowerCase())) return value;
  return `"${value.replace(/["\\]/g, (each) => `\\${each}`)}"`;
}
