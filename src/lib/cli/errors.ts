import { stripVTControlCharacters } from 'node:util';
import { Errors } from '@oclif/core';
import { AiotError } from '../core/errors.js';
import { machineFailure } from '../core/files.js';
import { issueText } from '../core/issues.js';
import { didYouMean, jsonLine, nearest } from '../core/text.js';
import { forProject } from './invocation.js';
import { bold, dim, forTerminal, red } from './render/style.js';
import { lineWidth, wrappedLines } from './render/text.js';

/** oclif's own errors are usage errors, and a machine may fail; anything else unknown is a bug of ours. */
export function asAiotError(error: unknown): AiotError {
  if (error instanceof AiotError) {
    const message = flagSentence(error.message);
    return message === error.message ? error : new AiotError(error.code, message, error);
  }
  if (error instanceof Errors.CLIError) return usageError(error);
  if (error instanceof Error && error.name === 'AbortError' && error.cause instanceof AiotError)
    return error.cause;
  return machineFailure(error) ?? new AiotError('AIOT_BUG', bugText(error), { cause: error });
}

/** A schema's own error has its issues as JSON for a message. */
function bugText(error: unknown): string {
  if (error instanceof Error && error.name === 'ZodError' && 'issues' in error)
    return issueText(error as Parameters<typeof issueText>[0], 'a value');
  return error instanceof Error ? error.message : String(error);
}

export interface ErrorStyle {
  json: boolean;
  /** Show the stack too; a bug's stack is always shown. */
  debug: boolean;
  /** Words of the command line, where it can name a project: what is proposed names it too. */
  argv?: readonly string[];
}

/**
 * Shows an error and sets the exit code: one line on stdout under --json, else a message on stderr.
 * It never ends the process, so what is being written still gets out.
 */
export function showError(error: unknown, style: ErrorStyle): void {
  const known = asAiotError(error);
  const next = forProject(known.next, style.argv ?? []);
  const shown = next === known.next ? known : new AiotError(known.code, known.message, { ...known, next });
  if (style.json) process.stdout.write(`${jsonLine({ error: shown.toJSON() })}\n`);
  else process.stderr.write(renderError(shown));
  if (style.debug || shown.family === 'bug') process.stderr.write(forTerminal(`${dim(stackOf(error))}\n`));
  process.exitCode = shown.exit;
}

/** Lines after the first are set in: what an error quotes cannot look like another error, or like a result. */
export function renderError(error: AiotError): string {
  const [message, advice] = [error.message, error.next].map((text) => text.replaceAll('\n', '\n  '));
  const shown = `${red('✗')} ${bold(`${error.code}:`)} ${message}\n  ${dim('Try:')} ${advice}\n`;
  return forTerminal(wrappedLines(shown, lineWidth(process.stderr)));
}

function stackOf(error: unknown): string {
  const parts: string[] = [];
  for (let e = error; e instanceof Error; e = e.cause) parts.push(e.stack ?? e.message);
  return parts.join('\ncaused by: ');
}

/** What oclif's parser errors carry beside their message; its classes are not exported. */
interface ParserError extends Error {
  args?: unknown[];
  flags?: string[];
  parse?: { input?: { flags?: Record<string, { options?: readonly string[] }> } };
}

interface Arg {
  name: string;
  description?: string;
}

/** A command line that oclif refused, in the program's own words. */
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
    const reasons = error.flags.map((flag) => {
      const near = nearest(flag.replace(/^-+/, ''), known);
      return `no such flag: ${flag}${near === undefined ? '' : `; did you mean --${near}?`}`;
    });
    return new AiotError('AIOT_USAGE', reasons.join(' '), { cause: error });
  }
  const flags = error.parse?.input?.flags ?? {};
  return new AiotError('AIOT_USAGE', sentences(said, flags), { cause: error });
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

/** oclif's phrases about flags, and ours. */
const phrases: [RegExp, string][] = [
  [/^Missing required flag (\S+)$/, 'expected --$1'],
  [/^(--[^\s=]+)\S* cannot also be provided when using (--\S+)$/, '$1 does not go with $2'],
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

/** A sentence about a flag in our words; of what oclif puts around a parser's own error only the flag's name is of use. */
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

/** Ends a sentence about a value that is none of a few with the one that was meant. */
function withSuggestion(sentence: string): string {
  const [, values = '', got = ''] = /expected one of (.+); got "([^"]*)"$/.exec(sentence) ?? [];
  return sentence + didYouMean(got, values.split(', '));
}
