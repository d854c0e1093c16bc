import { Errors } from '@oclif/core';
import { AiotError, issueText, jsonLine, machineFailure } from '../core/index.js';
import { forProject } from './again.js';
import { bold, dim, forTerminal, red } from './render/style.js';
import { lineWidth, wrappedLines } from './render/text.js';
import { flagSentence, usageError } from './usage.js';

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
