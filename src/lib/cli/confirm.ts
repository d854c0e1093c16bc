import { createInterface } from 'node:readline/promises';
import { AiotError } from '../core/index.js';
import { forTerminal } from './render/style.js';

/**
 * Asks on the terminal whether to go on; only `y` and `yes` mean yes. @throws AIOT_USAGE without a terminal: nobody can be asked there, and
 * the flag that answers is named; AIOT_INTERRUPTED at Ctrl-C
 */
export async function confirm(
  question: string,
  signal: AbortSignal,
  { input, output }: { input: NodeJS.ReadStream; output: NodeJS.WriteStream } = {
    input: process.stdin,
    output: process.stderr,
  },
): Promise<boolean> {
  if (!input.isTTY) throw needsYes(question);
  const lines = createInterface({ input, output });
  try {
    const answer = await lines.question(forTerminal(`${question} [y/N] `), { signal });
    return /^y(es)?$/i.test(answer.trim());
  } finally {
    lines.close();
  }
}

/** The refusal where a question has to be answered beforehand. */
export function needsYes(question: string): AiotError {
  return new AiotError('AIOT_USAGE', `expected --yes: ${question}`, {
    next: 'Look at what it says first (--dry-run shows it alone, where there is one), then repeat it with --yes.',
  });
}
