/**
 * Whether the whole text matches a pattern in which `*` stands for any characters and `?` for one. It goes back to the last
 * `*` alone, so it takes at most text × pattern steps, whatever somebody writes.
 */
export function matchesGlob(text: string, pattern: string): boolean {
  let at = 0;
  let want = 0;
  let star = -1;
  let from = 0;
  while (at < text.length) {
    if (pattern[want] === '*') {
      star = want++;
      from = at;
    } else if (want < pattern.length && (pattern[want] === '?' || pattern[want] === text[at])) {
      at++;
      want++;
    } else if (star >= 0) {
      want = star + 1;
      at = ++from;
    } else return false;
  }
  while (pattern[want] === '*') want++;
  return want === pattern.length;
}
