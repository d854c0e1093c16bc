import { createInterface } from 'node:readline/promises';
import type { Agree } from '../api/to-sign.js';
import { AiotError } from '../core/errors.js';
import { forTerminal } from './render/text.js';
import { toSignText } from './render/versions.js';

/** The parsed value of an answer, or the reason why it is invalid. */
export type Judged<T> = { value: T } | { problem: string };

interface Question<T> {
  text: string;
  /** The value of an empty answer; absent = an answer is required. */
  otherwise?: string;
  judge: (answer: string) => Judged<T> | Promise<Judged<T>>;
}

/** Asks questions one after another on a terminal. */
export interface Asker {
  /**
   * Asks the question, and repeats it with the reason until the answer is valid.
   * @throws AIOT_INTERRUPTED at Ctrl-C, AIOT_USAGE if the terminal is closed before a valid answer
   */
  ask<T>(question: Question<T>): Promise<T>;
  close(): void;
}

interface Terminal {
  input: NodeJS.ReadableStream;
  output: NodeJS.WritableStream;
}

/** Creates an asker. It writes questions to stderr, because stdout is reserved for the result. */
export function createAsker(
  signal: AbortSignal,
  { input, output }: Terminal = { input: process.stdin, output: process.stderr },
): Asker {
  const lines = createInterface({ input, output });
  const closed = new AbortController();
  lines.once('close', () => closed.abort());
  // On a terminal, readline intercepts Ctrl-C, so the signal is raised here.
  lines.once('SIGINT', () => process.kill(process.pid, 'SIGINT'));
  return {
    async ask({ text, otherwise, judge }) {
      for (;;) {
        const shown = forTerminal(otherwise ? `${text} [${otherwise}] ` : `${text} `);
        const given = await lines
          .question(shown, { signal: AbortSignal.any([signal, closed.signal]) })
          .catch((error: unknown) => {
            if (signal.aborted || !closed.signal.aborted) throw error;
            throw new AiotError('AIOT_USAGE', `no answer was given to: ${text}`, {
              next: 'Use flags instead. To list them, repeat the command with --help.',
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

/** A parser for an answer that is one of several words, or its number. */
export function oneOf<T extends string>(words: readonly T[]): (answer: string) => Judged<T> {
  return (answer) => {
    const value = words.find((word, i) => word === answer || String(i + 1) === answer);
    if (value !== undefined) return { value };
    return { problem: `Enter 1 to ${words.length}, or one of ${words.join(', ')}.` };
  };
}

/**
 * Asks on the terminal whether to continue. Only `y` and `yes` mean yes.
 * @param dryRun whether the command has --dry-run
 * @throws AIOT_USAGE without a terminal, naming the flag that answers the question; AIOT_INTERRUPTED at Ctrl-C
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

/**
 * The error if a question cannot be asked.
 * @param question begins with a verb, such as `Remove pump?`; further sentences may follow
 * @param dryRun whether the command has --dry-run
 * @param why the reason, as the start of a sentence
 */
export function needsYes(question: string, dryRun: boolean, why = 'without a terminal'): AiotError {
  const text = question.replace(/\?$/, '').replace('? ', '. ');
  const effect = `${text.charAt(0).toLowerCase()}${text.slice(1)}`;
  const look = dryRun ? 'Check the changes with --dry-run, then repeat' : 'Repeat';
  return new AiotError('AIOT_USAGE', `${why}, confirm with --yes: this will ${effect}`, {
    next: `${look} the command with --yes.`,
  });
}

/** Shows the content that the user's key will sign, and asks for confirmation. */
export function agreement(note: (text: string) => void, ask: (question: string) => Promise<boolean>): Agree {
  return async (what) => {
    note(toSignText(what));
    const digests = what.artifacts.map(({ digest }) => digest).join(', ');
    return ask(`Sign ${what.kind} ${what.name}@${what.version} (${digests})?`);
  };
}
