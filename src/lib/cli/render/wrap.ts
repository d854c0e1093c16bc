import { stripVTControlCharacters } from 'node:util';

/** Characters of a text that a terminal shows. */
export function width(text: string): number {
  return stripVTControlCharacters(text).length;
}

/** A word longer than this may go on in the next line, after punctuation. */
const longestWord = 24;

/** The parts of a text between which a line may end: words, and of a long one (a URL, a path) its parts. */
export function wordsOf(text: string, longest = longestWord): { word: string; spaced: boolean }[] {
  return text.split(' ').flatMap((word) => {
    const parts = width(word) > longest ? word.split(/(?<=[/,:;|&?=])/) : [word];
    return parts.map((part, i) => ({ word: part, spaced: i === 0 }));
  });
}

/** Lines of at most `columns` characters, ended between words; a word that is longer stays whole. */
export function wrapped(text: string, columns: number): string[] {
  if (width(text) <= columns) return [text];
  const lines: string[] = [];
  let line: string | null = null;
  for (const { word, spaced } of wordsOf(text, columns)) {
    const longer: string = line === null ? word : `${line}${spaced ? ' ' : ''}${word}`;
    if (line !== null && width(longer) > columns) {
      lines.push(line);
      line = word;
    } else line = longer;
  }
  return line === null ? lines : [...lines, line];
}
