import type { Report } from '../types.js';

/** Pattern of any token. */
const token = /aiot_[A-Za-z0-9_-]{43}/;
/** Output that indicates a bug: the code AIOT_BUG, a stack trace, or an uncaught error. */
const bug = /AIOT_BUG|^\s+at .*\(?(?:file|node):|[Uu]nhandled|Uncaught/m;
/** Node's own message if no file descriptor is left to open the program's first file. None of our code is loaded at that point. */
const nothingLoaded =
  /^Error: EMFILE: too many open files, open '[^'\n]*\/bin\/run\.js'\n(?:\s+at [^\n]*\(?node:[^\n]*\n)+/gm;

/** Reports secrets and bugs in the output of processes. */
export function badlyPrinted(text: string, secrets: readonly string[], report: Report): void {
  for (const secret of secrets.filter((each) => each.length >= 8)) {
    if (text.includes(secret))
      report('no secrets in output', `${secret.slice(0, 4)}… is in: ${around(text, secret)}`);
  }
  const [found] = token.exec(text) ?? [];
  if (found !== undefined) report('no secrets in output', `a token is in: ${around(text, found)}`);
  const own = text.replace(nothingLoaded, '');
  const [bad] = bug.exec(own) ?? [];
  if (bad !== undefined)
    report('no internal errors', own.slice(Math.max(0, own.indexOf(bad) - 300)).slice(0, 900));
}

function around(text: string, secret: string): string {
  const at = text.indexOf(secret);
  return text.slice(Math.max(0, at - 200), at + secret.length + 40).replaceAll(secret, '***');
}
