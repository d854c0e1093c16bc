import { stripVTControlCharacters } from 'node:util';
import type { ListrDefaultRendererLogLevels } from 'listr2';
import { bold, cyan, dim, forTerminal, green, oneLine, red } from '../render/style.js';
import { elapsed } from '../render/text.js';

/** One thing to do out of a list of things to do in turn. */
export interface Step {
  title: string;
  /**
   * Does it. `report` shows figures while it runs, each call in place of the one before; the returned text (or the last
   * report) stays beside the title. Must heed the signal, and clean up what it started.
   */
  run(report: (figures: string) => void, signal: AbortSignal): Promise<string | undefined>;
}

interface StepOptions {
  /** stdout is for the result: nothing but stderr is written in any case; with json never a live list. */
  json: boolean;
  /** Nothing is shown. */
  quiet: boolean;
  /** Whether stderr is a terminal. */
  tty: boolean;
  signal?: AbortSignal;
  /** Where plain lines go; stderr unless told. */
  write?: (text: string) => void;
}

/**
 * Runs the steps in turn and shows them on stderr: a live list on a terminal, elsewhere one line for each step when it has ended.
 * Stops at the first that fails and shows which it was. @throws what the step throws; the signal's reason between steps
 */
export async function runSteps(title: string, steps: readonly Step[], options: StepOptions): Promise<void> {
  const signal = options.signal ?? new AbortController().signal;
  if (options.quiet) {
    for (const step of steps) await runOne(step, () => {}, signal);
  } else if (options.tty && !options.json) {
    await runLive(title, steps, signal);
  } else {
    await runPlain(title, steps, signal, options.write ?? ((text) => void process.stderr.write(text)));
  }
}

/** The figures to keep beside the title. */
async function runOne(step: Step, report: (figures: string) => void, signal: AbortSignal): Promise<string> {
  signal.throwIfAborted();
  let last = '';
  const figures = await step.run((text) => {
    last = text;
    report(text);
  }, signal);
  return figures ?? last;
}

async function runPlain(
  title: string,
  steps: readonly Step[],
  signal: AbortSignal,
  put: (text: string) => void,
): Promise<void> {
  const write = (text: string) => put(forTerminal(text));
  write(`${bold(title)}\n`);
  for (const [i, step] of steps.entries()) {
    const name = `${dim(`${i + 1}/${steps.length}`)} ${step.title}`;
    const started = performance.now();
    try {
      const figures = await runOne(step, () => {}, signal);
      write(
        `  ${green('✓')} ${name}${beside(figures)} ${dim(`(${elapsed(performance.now() - started)})`)}\n`,
      );
    } catch (error) {
      write(`  ${red('✗')} ${name}\n`);
      throw error;
    }
  }
}

async function runLive(title: string, steps: readonly Step[], signal: AbortSignal): Promise<void> {
  const { Listr, ListrLogger, ProcessOutput } = await import('listr2');
  // The list is progress, so it is drawn on stderr; listr2 draws on what it takes for stdout.
  const processOutput = new ProcessOutput(process.stderr, process.stderr);
  const logger = new ListrLogger<ListrDefaultRendererLogLevels>({ useIcons: true, processOutput });
  process.stderr.write(forTerminal(`${bold(title)}\n`));
  const list = new Listr(
    steps.map((step) => ({
      title: forTerminal(step.title),
      task: async (_context, task) => {
        const started = performance.now();
        const figures = await runOne(
          step,
          (text) => {
            task.output = forTerminal(dim(oneLine(text)));
          },
          signal,
        );
        const took = dim(`(${elapsed(performance.now() - started)})`);
        task.title = forTerminal(`${step.title}${beside(figures)} ${took}`);
      },
    })),
    {
      // Ctrl-C is the command's to handle: listr2's own handler would end the process before anything is cleaned up.
      registerSignalListeners: false,
      // stderr is a terminal; listr2 would look at stdout, which may be a pipe.
      forceTTY: true,
      concurrent: false,
      exitOnError: true,
      rendererOptions: { logger, showErrorMessage: false, formatOutput: 'truncate' },
    },
  );
  await list.run();
}

function beside(figures: string): string {
  return figures ? `  ${cyan(stripVTControlCharacters(oneLine(figures)))}` : '';
}
