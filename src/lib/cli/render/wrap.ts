import { stripVTControlCharacters } from 'node:util';

/** Characters of a text that a terminal shows. */
export function width(text: string): number {
  return stripVTControlCharacters(text).length;
}

/** A word longer than this may go on in the next line, after punctuation. */
const longestWord = 24;

/** A link that a line break ends can be neither clicked nor copied; one that the terminal itself breaks can. */
const isLink = /^[a-z][a-z0-9+.-]*:\/\/\S/;

/** The parts of a text between which a line may end: words, and of a long one (a path, a list) its parts; of a URL with `breakLinks` alone. */
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

/** Lines of at most `columns` characters, ended between words; a word that is longer stays whole, and so does a URL but in a table's cell. */
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
