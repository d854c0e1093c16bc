import { createInterface } from 'node:readline/promises';
import { AiotError } from '../core/index.js';
import { forTerminal } from './render/style.js';

/**
 * Asks on the terminal whether to go on; only `y` and `yes` mean yes. @throws AIOT_USAGE without a terminal: nobody can be asked there, and
 * the flag that answers is named; AIOT_INTERRUPTED at Ctrl-C
 * @param dryRun whether the command has --dry-run
 */
export async function confirm(
  question: string,
  signal: AbortSignal,
  {
    input = process.stdin,
    output = process.stderr,
    dryRun = false,
  }: { input?: NodeJS.ReadStream; output?: NodeJS.WriteStream; dryRun?: boolean } = {},
): Promise<boolean> {
  if (!input.isTTY) throw needsYes(question, dryRun);
  const lines = createInterface({ input, output });
  try {
    const answer = await lines.question(forTerminal(`${question} [y/N] `), { signal });
    return /^y(es)?$/i.test(answer.trim());
  } finally {
    lines.close();
  }
}

/** The refusal where a question has to be answered beforehand; `dryRun` where the command has that flag. */
export function needsYes(question: string, dryRun: boolean): AiotError {
  const look = dryRun ? 'Look at what --dry-run shows, then repeat' : 'Repeat';
  return new AiotError('AIOT_USAGE', `expected --yes: ${question}`, {
    next: `${look} the command with --yes.`,
  });
}
