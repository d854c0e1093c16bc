import { AiotError, type ErrorCode, plural } from '../../core/index.js';

/** What is wrong with one line of a fleet file. */
export interface Problem {
  line: number;
  /** With file and line in front. */
  text: string;
}

/** More of them are counted. */
const shown = 20;

/** All that is wrong, in the order of the file, in one error. Nothing wrong: returns. @throws AiotError of this code */
export function refuseAll(code: ErrorCode, file: string, problems: readonly Problem[]): void {
  const [first, ...more] = problems.toSorted((a, b) => a.line - b.line);
  if (!first) return;
  if (more.length === 0) throw new AiotError(code, first.text);
  const texts = [first, ...more].slice(0, shown).map(({ text }) => `\n  ${text}`);
  const rest = problems.length > shown ? `\n  and ${problems.length - shown} more` : '';
  const lines = plural(new Set(problems.map(({ line }) => line)).size, 'line');
  throw new AiotError(code, `${lines} of ${file} cannot be taken:${texts.join('')}${rest}`);
}
