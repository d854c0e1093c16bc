import { AiotError } from '../../core/index.js';

/**
 * `notify --title "a b"` → program and arguments. Quotes of both kinds keep spaces together and a backslash takes the next
 * character as it is; nothing else means anything, for there is no shell. @throws AIOT_STREAM_URL
 */
export function wordsOf(text: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote: string | undefined;
  for (let at = 0; at < text.length; at++) {
    const char = text[at]!;
    if (char === '\\' && quote !== "'" && at + 1 < text.length) word = (word ?? '') + text[++at]!;
    else if (quote !== undefined) {
      if (char === quote) quote = undefined;
      else word = (word ?? '') + char;
    } else if (char === '"' || char === "'") {
      quote = char;
      word ??= '';
    } else if (/\s/.test(char)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else word = (word ?? '') + char;
  }
  if (quote !== undefined) throw new AiotError('AIOT_STREAM_URL', `exec: a ${quote} in it is not closed`);
  if (word !== undefined) words.push(word);
  if (words.length === 0 || words[0] === '') {
    throw new AiotError('AIOT_STREAM_URL', 'exec: expected a program, such as exec:/usr/local/bin/alarm');
  }
  return words;
}
