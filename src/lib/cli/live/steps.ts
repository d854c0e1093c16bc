import { stripVTControlCharacters } from 'node:util';
import { elapsed } from '../../core/figures.js';
import { bold, clipped, cyan, dim, forTerminal, green, oneLine, red } from '../render/text.js';
import { barOf, type Progress, type ProgressState, stateOf } from './progress.js';

/** An item in a list of sequential steps. */
export interface Step {
  title: string;
  /**
   * Executes the step. Each call of `report` replaces the metrics that are shown next to the title. At the end, the returned text or else
   * the last report remains there. The step must respect the signal and clean up what it started.
   */
  run(report: (figures: string) => void, signal: AbortSignal): Promise<string | undefined>;
}

interface StepOptions {
  /** Whether stdout is reserved for a result in JSON. Steps are always shown on stderr, but if so, not as a live list. */
  json: boolean;
  /** Whether nothing is shown. */
  quiet: boolean;
  /** Whether stderr is a terminal. */
  tty: boolean;
  signal?: AbortSignal;
  /** Output function for plain lines; stderr by default. */
  write?: (text: string) => void;
}

/**
 * Runs the steps in order and shows them on stderr: a live list on a terminal, elsewhere one line for each finished step.
 * Stops at the first failure and shows the failed step. @throws the step's error; the signal's reason between steps
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

/** Runs a step, and returns the text that remains next to its title. */
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
      write(`  ${stepMarks.done()} ${name}${beside(figures)} ${tookText(started)}\n`);
    } catch (error) {
      write(`  ${stepMarks.failed()} ${name}\n`);
      throw error;
    }
  }
}

async function runLive(title: string, steps: readonly Step[], signal: AbortSignal): Promise<void> {
  process.stderr.write(forTerminal(`${bold(title)}\n`));
  const lines: StepLine[] = steps.map((step) => ({ state: 'waiting', text: step.title }));
  const list = drawSteps(() => lines);
  try {
    for (const [i, step] of steps.entries()) {
      const started = performance.now();
      const show = (state: StepState, after: string) => {
        lines[i] = { state, text: `${step.title}${after}` };
      };
      show('running', '');
      try {
        const figures = await runOne(step, (text) => show('running', `  ${dim(oneLine(text))}`), signal);
        show('done', `${beside(figures)} ${tookText(started)}`);
      } catch (error) {
        show('failed', '');
        throw error;
      }
    }
  } finally {
    list.end();
  }
}

function beside(figures: string): string {
  return figures ? `  ${cyan(stripVTControlCharacters(oneLine(figures)))}` : '';
}

function tookText(started: number): string {
  return dim(`(${elapsed(performance.now() - started)})`);
}

/**
 * Shows the progress of steps as a live list on stderr, which is a terminal. `lines` returns all steps. Without it, each new text (or
 * `step.name`) begins another step.
 * @param keep whether the list stays on the screen at the end
 */
export function stepProgress({ keep = true } = {}): Progress {
  const known: StepLine[] = [];
  let lines: StepSource = () => known;
  let running: { name: string; started: number } | undefined;
  let list: StepList | undefined;
  const close = (state: StepState) => {
    if (running) known[known.length - 1] = { state, text: `${running.name} ${tookText(running.started)}` };
    running = undefined;
  };
  const advance = ({ text, done, total, step }: ProgressState) => {
    const { name, figures = '' } = step ?? { name: text };
    if (running?.name !== name) {
      close('done');
      running = { name, started: performance.now() };
      known.push({ state: 'running', text: name });
    }
    const shown = [name, barOf({ done, total }, 12), figures].filter(Boolean).join('  ');
    known[known.length - 1] = { state: 'running', text: shown };
  };
  return {
    update(next) {
      const state = stateOf(next);
      if (state.lines) lines = state.lines;
      else advance(state);
      list ??= drawSteps((room) => lines(room), { keep });
    },
    clear: () => list?.clear(),
    end(failed) {
      close(failed ? 'failed' : 'done');
      list?.end();
    },
  };
}

export type StepState = 'waiting' | 'running' | 'done' | 'skipped' | 'failed';

/** A line in a list of steps. */
export interface StepLine {
  state: StepState;
  text: string;
}

/** Returns the current lines of a list, given how many fit. */
type StepSource = (room: number) => readonly StepLine[];

interface StepList {
  /** Clears the list, so that something else can be written above it. It is soon drawn again. */
  clear(): void;
  /** Draws the list for the last time, or clears it. Idempotent. */
  end(): void;
}

const frameMs = 100;

/** Characters that mark the states of steps. In a live list, a running step has listr2's spinner instead. */
export const stepMarks: Record<StepState, () => string> = {
  waiting: () => dim('○'),
  running: () => cyan('…'),
  done: () => green('✓'),
  skipped: () => dim('·'),
  failed: () => red('✗'),
};

const columnsOfTerminal = () => process.stderr.columns || 100;
const rowsOfTerminal = () => process.stderr.rows || 24;

/**
 * Draws a list of steps in place on stderr, which is a terminal. The first frame is drawn after 100 ms, because steps that finish sooner
 * need no animation.
 * @param lines called for each frame
 * @param keep whether the last frame stays on the screen; otherwise its lines are cleared
 */
function drawSteps(lines: StepSource, { keep = true } = {}): StepList {
  let drawn: { end(): void } | undefined;
  let timer: NodeJS.Timeout | undefined;
  let ended = false;
  const start = async () => {
    const renderer = await stepRenderer(lines);
    if (ended) return;
    await renderer.render();
    if (ended) renderer.end();
    else drawn = renderer;
  };
  // The work continues even if the list cannot be drawn.
  const begin = () => void start().catch(() => {});
  const clear = () => {
    drawn?.end();
    drawn = undefined;
  };
  begin();
  return {
    clear() {
      if (!drawn) return;
      clear();
      timer = setTimeout(begin, frameMs);
    },
    end() {
      if (ended) return;
      ended = true;
      clearTimeout(timer);
      clear();
      if (!keep) return;
      const last = lines(Number.POSITIVE_INFINITY).map(({ state, text }) =>
        stepLine(stepMarks[state](), text),
      );
      process.stderr.write(last.map((line) => `${line}\n`).join(''));
    },
  };
}

function stepLine(mark: string, text: string): string {
  return forTerminal(clipped(oneLine(`${mark} ${text}`), columnsOfTerminal() - 1));
}

/**
 * Runs listr2's renderer on tasks that get their states and titles from `lines` before each frame. listr2's runner is not used, because it
 * shows all concurrent tasks as running from the start, accepts no later tasks, and ends the process on Ctrl-C before cleanup.
 */
async function stepRenderer(lines: StepSource) {
  const { DefaultRenderer, Listr, ListrEventManager, ListrLogger, ListrTaskState, ProcessOutput, Spinner } =
    await import('listr2');
  const states = {
    waiting: ListrTaskState.WAITING,
    running: ListrTaskState.STARTED,
    done: ListrTaskState.COMPLETED,
    skipped: ListrTaskState.SKIPPED,
    failed: ListrTaskState.FAILED,
  };
  const list = new Listr([], {
    fallbackRenderer: 'default',
    exitOnError: false,
    registerSignalListeners: false,
  });
  const marks = new Map<unknown, StepState>();
  const read = async () => {
    const now = lines(rowsOfTerminal() - 1);
    while (list.tasks.length < now.length) {
      list.add({ title: '', task: () => {} });
      await list.tasks.at(-1)!.check({});
    }
    for (const [i, task] of list.tasks.entries()) {
      const line = now[i];
      // A task without a title is not drawn.
      task.title = line?.text;
      if (!line) continue;
      task.state = states[line.state];
      marks.set(task, line.state);
    }
  };
  const spinner = new (class extends Spinner {
    override spin(): void {
      super.spin();
      void read();
    }
  })();
  class Renderer extends DefaultRenderer {
    protected override style(task: Parameters<InstanceType<typeof DefaultRenderer>['style']>[0]): string {
      const state = marks.get(task) ?? 'waiting';
      return state === 'running' ? cyan(spinner.fetch()) : stepMarks[state]();
    }
    protected override format(title: string, mark: string): string[] {
      return [stepLine(mark, title)];
    }
  }
  // The list shows progress, so it belongs on stderr. listr2 therefore gets stderr in place of stdout.
  const processOutput = new ProcessOutput(process.stderr, process.stderr);
  const logger = new ListrLogger<never>({ useIcons: true, processOutput });
  await read();
  return new Renderer(list.tasks, { logger, spinner, clearOutput: true }, new ListrEventManager());
}
