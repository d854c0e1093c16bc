import { stripVTControlCharacters } from 'node:util';

/** Number of characters of a text that a terminal displays. */
export function width(text: string): number {
  return stripVTControlCharacters(text).length;
}

/** Minimum length of words that may be broken after punctuation. */
const longestWord = 24;

/** Whether a word is a link. A link with a line break can be neither clicked nor copied, unlike one that the terminal itself wraps. */
const isLink = /^[a-z][a-z0-9+.-]*:\/\/\S/;

/**
 * The parts of a text between which a line may be broken: words, and the parts of long words such as paths and lists. URLs are broken only
 * with `breakLinks`.
 */
export function wordsOf(
  text: string,
  longest = longestWord,
  breakLinks = true,
): { word: string; spaced: boolean }[] {
  return text.split(' ').flatMap((word) => {
    const isWhole = width(word) <= longest || (!breakLinks && isLink.test(stripVTControlCharacters(word)));
    const parts = isWhole ? [word] : word.split(/(?<=[/,:;|&?=])/);
    return parts.map((part, i) => ({ word: part, spaced: i === 0 }));
  });
}

/**
 * Wraps text between words to at most `columns` characters. A single longer word is not broken, and neither is a URL, except in a table's
 * cell.
 */
export function wrapped(text: string, columns: number, breakLinks = false): string[] {
  if (width(text) <= columns) return [text];
  const lines: string[] = [];
  let line: string | null = null;
  for (const { word, spaced } of wordsOf(text, columns, breakLinks)) {
    const longer: string = line === null ? word : `${line}${spaced ? ' ' : ''}${word}`;
    if (line !== null && width(longer) > columns) {
      lines.push(line);
      line = word;
    } else line = longer;
  }
  return line === null ? lines : [...lines, line];
}
