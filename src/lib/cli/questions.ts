import { createInterface } from 'node:readline/promises';
import { AiotError } from '../core/errors.js';
import type { Agree } from '../registry/to-sign.js';
import { forTerminal } from './render/style.js';
import { toSignText } from './render/versions.js';

/** What an answer was taken for, or why it is none. */
export type Judged<T> = { value: T } | { problem: string };

interface Question<T> {
  text: string;
  /** What Enter alone means; absent = an answer is needed. */
  otherwise?: string;
  judge: (answer: string) => Judged<T> | Promise<Judged<T>>;
}

/** Asks one thing after another on a terminal. */
export interface Asker {
  /**
   * Asks again, with the reason, until the answer is one.
   * @throws AIOT_INTERRUPTED at Ctrl-C, AIOT_USAGE when the terminal is closed before
   */
  ask<T>(question: Question<T>): Promise<T>;
  close(): void;
}

interface Terminal {
  input: NodeJS.ReadableStream;
  output: NodeJS.WritableStream;
}

/** Questions go to stderr: stdout is the result's. */
export function createAsker(
  signal: AbortSignal,
  { input, output }: Terminal = { input: process.stdin, output: process.stderr },
): Asker {
  const lines = createInterface({ input, output });
  const closed = new AbortController();
  lines.once('close', () => closed.abort());
  // readline takes Ctrl-C as its own on a terminal.
  lines.once('SIGINT', () => process.kill(process.pid, 'SIGINT'));
  return {
    async ask({ text, otherwise, judge }) {
      for (;;) {
        const shown = forTerminal(otherwise ? `${text} [${otherwise}] ` : `${text} `);
        const given = await lines
          .question(shown, { signal: AbortSignal.any([signal, closed.signal]) })
          .catch((error: unknown) => {
            if (signal.aborted || !closed.signal.aborted) throw error;
            throw new AiotError('AIOT_USAGE', `there was no answer to: ${text}`, {
              next: 'Say it with flags instead: aiot init --help names them.',
            });
          });
        const judged = await judge(given.trim() || (otherwise ?? ''));
        if ('value' in judged) return judged.value;
        output.write(forTerminal(`  ${judged.problem}\n`));
      }
    },
    close: () => lines.close(),
  };
}

/** A judge for one word of several, by its number or the word itself. */
export function oneOf<T extends string>(words: readonly T[]): (answer: string) => Judged<T> {
  return (answer) => {
    const value = words.find((word, i) => word === answer || String(i + 1) === answer);
    if (value !== undefined) return { value };
    return { problem: `Expected 1 to ${words.length}, or one of ${words.join(', ')}.` };
  };
}

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

/** Shows what this user's key is to be put under, and asks. */
export function agreement(note: (text: string) => void, ask: (question: string) => Promise<boolean>): Agree {
  return async (what) => {
    note(toSignText(what));
    const digests = what.artifacts.map(({ digest }) => digest).join(', ');
    return ask(`Sign ${what.kind} ${what.name}@${what.version} (${digests})?`);
  };
}
