import { mostWords } from './column-types.js';

/** Words of one column, each known by a number: from bytes, and without a string for each cell. */
export interface WordList {
  readonly words: string[];
  /** −2 for a word that comes after `mostWords` others. */
  codeOf(bytes: Uint8Array, from: number, to: number): number;
  /** The same for a word that is a string already. */
  codeOfWord(word: string): number;
}

export function createWordList(): WordList {
  const words: string[] = [];
  const codes = new Map<string, number>();
  const spelled: Uint8Array[] = [];
  const byHash = new Map<number, number>();
  let last = -1;
  const isWord = (code: number, bytes: Uint8Array, from: number, to: number) => {
    const own = spelled[code]!;
    if (own.length !== to - from) return false;
    for (let i = 0; i < own.length; i++) if (own[i] !== bytes[from + i]) return false;
    return true;
  };
  const codeOfWord = (word: string) => {
    const known = codes.get(word);
    if (known !== undefined) return known;
    if (words.length >= mostWords) return -2;
    const code = words.length;
    words.push(word);
    spelled.push(Buffer.from(word, 'utf8'));
    codes.set(word, code);
    return code;
  };
  return {
    words,
    codeOfWord,
    codeOf(bytes, from, to) {
      // Labels come in long runs.
      if (last >= 0 && isWord(last, bytes, from, to)) return last;
      // FNV-1a; two words of one hash are told apart by their letters.
      let hash = 0x811c9dc5;
      for (let i = from; i < to; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193);
      const likely = byHash.get(hash);
      if (likely !== undefined && isWord(likely, bytes, from, to)) {
        last = likely;
        return likely;
      }
      const text = Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from).toString('utf8');
      const code = codeOfWord(text);
      if (code >= 0 && likely === undefined) byHash.set(hash, code);
      last = code;
      return code;
    },
  };
}
