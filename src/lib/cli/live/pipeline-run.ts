import type { RunRecord, StepRecord } from '../../pipeline/run/record.js';
import { type RunResult, refusalOfRun, resultOfRun } from '../../pipeline/run/result.js';
import type { RunPipelineOptions } from '../../pipeline/run/run-pipeline.js';
import { AiotCommand } from '../command.js';
import { again } from '../invocation.js';
import { runText, stepStateText, waysToDevices } from '../render/pipeline.js';
import { cyan, dim, forTerminal, green, oneLine, red } from '../render/style.js';
import { cut, elapsed, next } from '../render/text.js';
import { drawsOver } from './redraw.js';

type Typed = Parameters<typeof again>[0];

type Look = Required<Pick<RunPipelineOptions, 'signal' | 'onChange' | 'onLine'>>;

/** Commands that take a run through its steps. */
export abstract class RunCommand extends AiotCommand {
  /** @param run runs it, wherever that is, and tells how it goes */
  protected async takeThrough(input: Typed, run: (look: Look) => Promise<RunRecord>): Promise<RunResult> {
    const screen = createRunTable({
      json: this.jsonEnabled(),
      quiet: this.quiet,
      tty: drawsOver(process.stderr),
    });
    const record = await run({
      signal: this.signal,
      onChange: screen.changed,
      onLine: (step, line) => {
        screen.said(step, line);
        this.event({ step, line });
      },
    }).finally(() => screen.end());
    const result = resultOfRun(record);
    this.print(runText(result));
    const refusal = refusalOfRun(record);
    // For people the reason comes as an error after the table; in JSON it stands in the result.
    if (refusal && !this.jsonEnabled()) throw refusal;
    if (refusal) process.exitCode = refusal.exit;
    const at = again(input, 'project');
    this.print(next(...waysToDevices(result), `aiot pipeline graph${at}`, `aiot pipeline history${at}`));
    return result;
  }
}

interface RunTable {
  /** At the beginning, and whenever a step has changed. */
  changed(record: RunRecord, step?: StepRecord): void;
  /** What a step says while it runs. */
  said(step: string, line: string): void;
  end(): Promise<void>;
}

/** Shows on stderr how a run goes: a live list on a terminal, a line a step elsewhere; nothing when it is quiet or JSON. */
function createRunTable(options: { json: boolean; quiet: boolean; tty: boolean }): RunTable {
  if (options.quiet || options.json) return { changed: () => {}, said: () => {}, end: async () => {} };
  const write = (text: string) => void process.stderr.write(text);
  if (!options.tty) return plainLines(write);
  // The result says all of it again, in the same place.
  return liveTable({ write, keep: process.stdout.isTTY !== true });
}

/** @param write takes whole lines */
function plainLines(write: (text: string) => void): RunTable {
  const tell = (text: string) => write(forTerminal(text));
  const told = new Set<string>();
  return {
    changed(_record, step) {
      if (!step || step.state === 'waiting' || (step.attempts === 0 && step.state === 'running')) return;
      const key = `${step.name} ${step.state}`;
      if (told.has(key)) return;
      told.add(key);
      if (step.state === 'running') tell(`${dim('…')} ${step.name}\n`);
      else tell(`${markOf(step)} ${step.name}  ${besideOf(step)}\n`);
    },
    said: () => {},
    end: async () => {},
  };
}

function markOf({ state }: StepRecord): string {
  if (state === 'done') return green('✓');
  return state === 'skipped' ? dim('·') : red('✗');
}

function besideOf(step: StepRecord): string {
  const took =
    step.cached || step.state === 'skipped' || step.seconds === 0
      ? ''
      : ` ${dim(`(${elapsed(step.seconds * 1000)})`)}`;
  const reason = step.reason === null ? '' : `: ${step.reason}`;
  return `${stepStateText(step)}${reason}${took}`;
}

const frameMs = 100;
const frames = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

interface LiveTableOptions {
  write(text: string): void;
  /** Leaves the last picture where it is; else its lines are given back. */
  keep: boolean;
  columns?: () => number;
}

/**
 * A line a step, drawn over those before. Not listr2's: its tasks all turn from the first on where they are run side by side, and which
 * of these steps runs is told by the graph.
 */
export function liveTable({
  write,
  keep,
  columns = () => process.stderr.columns || 100,
}: LiveTableOptions): RunTable {
  let steps: readonly StepRecord[] = [];
  const saying = new Map<string, string>();
  let drawn = 0;
  let turn = 0;
  let timer: NodeJS.Timeout | undefined;
  const draw = () => {
    const widest = Math.max(...steps.map(({ name }) => name.length));
    const lines = steps.map((step) => {
      const runs = step.state === 'running';
      const mark = runs
        ? cyan(frames[turn % frames.length]!)
        : step.state === 'waiting'
          ? dim('○')
          : markOf(step);
      const took = runs && step.started !== null ? elapsed(Date.now() - step.started) : '';
      const beside = runs ? dim(`${took}  ${saying.get(step.name) ?? ''}`) : besideOf(step);
      return cut(oneLine(`${mark} ${step.name.padEnd(widest)}  ${beside}`), columns() - 1);
    });
    const back = drawn > 0 ? `\u001b[${drawn}A` : '';
    write(`${back}${lines.map((line) => `\u001b[2K${forTerminal(line)}\n`).join('')}`);
    drawn = lines.length;
    turn++;
  };
  return {
    changed(record) {
      steps = record.steps;
      // What is known at once needs no picture that moves.
      timer ??= setInterval(draw, frameMs);
    },
    said: (step, line) => void saying.set(step, sayingOf(line)),
    async end() {
      if (timer === undefined) return;
      clearInterval(timer);
      if (drawn > 0 && keep) draw();
      else if (drawn > 0) write(`\u001b[${drawn}A\u001b[0J`);
    },
  };
}

/** Our commands speak JSON to programs: an epoch, a step, a stage. */
function sayingOf(line: string): string {
  if (!line.startsWith('{')) return line;
  try {
    const { text, stage, epoch, epochs } = JSON.parse(line) as Record<string, unknown>;
    if (epoch !== undefined) return `epoch ${String(epoch)} of ${String(epochs)}`;
    return String(text ?? stage ?? '');
  } catch {
    return line;
  }
}
