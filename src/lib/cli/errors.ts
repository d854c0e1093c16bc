import { stripVTControlCharacters } from 'node:util';
import { Errors } from '@oclif/core';
import { AiotError } from '../core/errors.js';
import { machineFailure } from '../core/files.js';
import { issueText } from '../core/issues.js';
import { didYouMean, jsonLine, nearest } from '../core/text.js';
import { adviceAsTyped, forProject } from './invocation.js';
import { bold, dim, forTerminal, lineWidth, red, wrappedLines } from './render/text.js';

/**
 * Converts any error. oclif's errors become usage errors, and some system errors become failures of the machine. All others are bugs in
 * this program.
 */
export function asAiotError(error: unknown): AiotError {
  if (error instanceof AiotError) {
    const message = flagSentence(error.message);
    return message === error.message ? error : error.reworded(message, error);
  }
  if (error instanceof Errors.CLIError) return usageError(error);
  if (error instanceof Error && error.name === 'AbortError' && error.cause instanceof AiotError)
    return error.cause;
  return machineFailure(error) ?? new AiotError('AIOT_BUG', bugText(error), { cause: error });
}

/** The message of a bug. Schema errors contain their issues as JSON in the message. */
function bugText(error: unknown): string {
  if (error instanceof Error && error.name === 'ZodError' && 'issues' in error)
    return issueText(error as Parameters<typeof issueText>[0], 'a value');
  return error instanceof Error ? error.message : String(error);
}

export interface ErrorStyle {
  json: boolean;
  /** Whether to show the stack as well. The stack of a bug is always shown. */
  debug: boolean;
  /** Words of the command line. If they specify a project, suggested commands specify it too. */
  argv?: readonly string[];
}

/**
 * Prints an error and sets the exit code: one line on stdout under --json, else a message on stderr. Never ends the process, so
 * pending output is still written.
 */
export function showError(error: unknown, style: ErrorStyle): void {
  const known = asAiotError(error);
  const advice = forProject(known.next, style.argv ?? []);
  // With --json, suggested commands begin with `aiot`, the name by which other programs start aiot.
  const next = style.json ? advice : adviceAsTyped(advice);
  const shown = next === known.next ? known : known.reworded(known.message, { ...known, next });
  if (style.json) process.stdout.write(`${jsonLine({ error: shown.toJSON() })}\n`);
  else process.stderr.write(renderError(style.debug || !process.stderr.isTTY ? shown : brief(shown)));
  if (style.debug || shown.family === 'bug') process.stderr.write(forTerminal(`${dim(stackOf(error))}\n`));
  process.exitCode = shown.exit;
}

/**
 * Renders an error as text for a terminal. Lines after the first are indented, so that quoted text cannot look like another error or a
 * result.
 */
export function renderError(error: AiotError): string {
  const [message, advice] = [error.message, error.next].map((text) => text.replaceAll('\n', '\n  '));
  const shown = `${red('✗')} ${bold(`${error.code}:`)} ${message}\n  ${dim('Try:')} ${advice}\n`;
  return forTerminal(wrappedLines(shown, lineWidth(process.stderr)));
}

/** Maximum number of lines of an error on a terminal: problem, location and fix. On narrow terminals, lines are wrapped. */
const mostLines = 3;

const rest = '(--debug shows the rest)';

/** Words at the beginning of a message that are kept before its last clause. */
const fewestWords = 4;

/**
 * The same error, short enough for a terminal. A long next step is reduced to its first sentence. In a long message, the middle is
 * left out, which is usually a list of values. Logs and files get the whole text.
 */
export function brief(error: AiotError, columns = lineWidth(process.stderr)): AiotError {
  const fits = (message: string, next: string) => linesOf(error.code, message, next, columns) <= mostLines;
  if (fits(error.message, error.next)) return error;
  const step = error.next.split(/(?<=[.;]) /)[0] ?? error.next;
  if (fits(error.message, step)) return error.reworded(error.message, { ...error, next: step });
  const suggestion = /\. Did you mean [^?]+\?$/.exec(error.message)?.[0] ?? '';
  const text = error.message.slice(0, error.message.length - suggestion.length);
  const withEnd = (end: string) => {
    const words = text.slice(0, text.length - end.length).split(/\s+/);
    const short = (count: number) => `${words.slice(0, count).join(' ')} …${end}${suggestion} ${rest}`;
    let count = words.length;
    while (count > 1 && !fits(short(count), step)) count--;
    return { count, message: short(count) };
  };
  const end = lastClause(text);
  const both = withEnd(end);
  const { message } = both.count < fewestWords ? withEnd('') : both;
  return error.reworded(message, { ...error, next: step });
}

/** The last clause of a sentence with the punctuation before it, such as `, got "x"`; empty if the text has several lines. */
function lastClause(text: string): string {
  const [clause] = /\)?[,;] got (?:"[^"]*"|(?!.*[,;] got ).*)$/.exec(text) ??
    /\)?[;:] (?!.*[;:] ).*$/.exec(text) ?? [''];
  return text.includes('\n') ? '' : clause;
}

/** Number of lines of an error; narrow terminals count as 80 columns wide. */
function linesOf(code: string, message: string, next: string, columns: number): number {
  return wrappedLines(`✗ ${code}: ${message}\n  Try: ${next}`, Math.max(80, columns)).split('\n').length;
}

function stackOf(error: unknown): string {
  const parts: string[] = [];
  for (let e = error; e instanceof Error; e = e.cause) parts.push(e.stack ?? e.message);
  return parts.join('\ncaused by: ');
}

/** Fields of oclif's parser errors besides the message; its classes are not exported. */
interface ParserError extends Error {
  args?: unknown[];
  flags?: string[];
  parse?: {
    input?: { flags?: Record<string, { options?: readonly string[] }> };
    output?: { flags?: Record<string, unknown> };
  };
}

interface Arg {
  name: string;
  description?: string;
}

/** Converts oclif's error about a command line to an error in our own words. */
function usageError(error: ParserError): AiotError {
  const said = stripVTControlCharacters(error.message).split('\nSee more help')[0] ?? '';
  if (said.startsWith('Missing ') && error.args) {
    const missing = (error.args as Arg[]).map(({ name, description = '' }) =>
      `${name.toUpperCase()}: ${description.replace(/\.$/, '')}`.replace(/: $/, ''),
    );
    return new AiotError('AIOT_USAGE', `expected ${missing.join('; ')}`, { cause: error });
  }
  if (said.startsWith('Nonexistent flag') && error.flags) {
    const known = Object.keys(error.parse?.input?.flags ?? {});
    const reasons = error.flags.map((word) => {
      // The part after `=` is not part of the flag's name, and may be a secret.
      const flag = word.replace(/=.*$/s, '');
      const near = nearest(flag.replace(/^-+/, ''), [...known, 'help']);
      return `unknown flag ${flag}${near === undefined ? '' : `. Did you mean --${near}?`}`;
    });
    return new AiotError('AIOT_USAGE', reasons.join(' '), { cause: error });
  }
  const flags = error.parse?.input?.flags ?? {};
  const refusal = new AiotError('AIOT_USAGE', sentences(said, flags), { cause: error });
  const unasked = 'yes' in flags && !error.parse?.output?.flags?.yes && !process.stdin.isTTY;
  if (!unasked || !refusal.message.includes('expected --')) return refusal;
  // Without this, the user would learn that --yes is needed only after fixing everything else.
  return new AiotError('AIOT_USAGE', refusal.message, {
    next: `${refusal.next} Also add --yes, because there is no terminal for the confirmation.`,
    cause: error,
  });
}

function sentences(said: string, flags: Record<string, { options?: readonly string[] }>): string {
  const [, reasons] = /^The following errors? occurred:\n([\s\S]*)$/.exec(said) ?? [];
  if (reasons === undefined) return flagSentence(said).replace(/\s+/g, ' ').trim();
  return reasons
    .split('\n')
    .map((reason) => {
      const sentence = flagSentence(reason.trim());
      const [, missing = ''] = /^expected --(\S+)$/.exec(sentence) ?? [];
      const values = flags[missing]?.options ?? [];
      return values.length === 0 ? sentence : `${sentence}: one of ${values.join(', ')}`;
    })
    .join('; ');
}

/** oclif's phrases about flags, and our wording of them. */
const phrases: [RegExp, string][] = [
  [/^Unexpected (arguments?: [\s\S]*)$/, 'unexpected $1'],
  [/^Missing required flag (\S+)$/, 'expected --$1'],
  [/^(--[^\s=]+)(?:=.*)? cannot also be provided when using (--\S+)$/s, '$1 cannot be combined with $2'],
  [/^All of the following must be provided when using (--\S+): (.+)$/, '$1 needs $2'],
  [/^Expected (--[^\s=]+)=([\s\S]*) to be one of: (.+)$/, '$1: expected one of $3; got "$2"'],
  [/^Expected ([\s\S]*) to be one of: (.+)$/, 'expected one of $2; got "$1"'],
  [/^Flag (--\S+) expects one of these values: (.+)$/, '$1: expected one of $2'],
  [/^Expected an integer but received: ([\s\S]*)$/, 'expected a whole number, got "$1"'],
  [
    /^Expected an integer greater than or equal to (\S+) but received: ([\s\S]*)$/,
    'expected at least $1, got "$2"',
  ],
  [
    /^Expected an integer less than or equal to (\S+) but received: ([\s\S]*)$/,
    'expected at most $1, got "$2"',
  ],
  [/^Flag (--\S+) expects a value$/, '$1: expected a value'],
];

/**
 * Converts oclif's sentence about a flag to our own words. If the sentence wraps a flag parser's error, only the flag's name is
 * taken from the wrapper.
 */
function flagSentence(message: string): string {
  const [, flag, reason] =
    /^Parsing (--\S+) ?\n\t([\s\S]*?)(?:\nSee more help with --help)?$/.exec(message) ?? [];
  if (flag !== undefined && reason !== undefined) {
    return reason.startsWith(flag) ? reason : `${flag}: ${inOurWords(reason)}`;
  }
  return inOurWords(message);
}

function inOurWords(message: string): string {
  const found = phrases.find(([theirs]) => theirs.test(message));
  return found ? withSuggestion(message.replace(found[0], found[1])) : message;
}

/** Adds a suggestion to a sentence that rejects a value: the value that was probably meant. */
function withSuggestion(sentence: string): string {
  const [, values = '', got = ''] = /expected one of (.+); got "([^"]*)"$/.exec(sentence) ?? [];
  return sentence + didYouMean(got, values.split(', '));
}
