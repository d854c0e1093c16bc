import { elapsed } from '../../core/figures.js';
import type { RunRecord, StepRecord } from '../../pipeline/run/record.js';
import { lineText, type RunResult, refusalOfRun, resultOfRun } from '../../pipeline/run/result.js';
import type { RunPipelineOptions } from '../../pipeline/run/run-pipeline.js';
import { AiotCommand } from '../command.js';
import { again } from '../invocation.js';
import { runText, stepStateText, waysToDevices } from '../render/pipeline.js';
import { dim, drawsOver, forTerminal, next } from '../render/text.js';
import type { Progress } from './progress.js';
import { type StepLine, type StepState, stepMarks } from './steps.js';

/** Maximum length of a step's line that is shown. */
const longestLine = 500;

type Typed = Parameters<typeof again>[0];

type Look = Required<Pick<RunPipelineOptions, 'signal' | 'onChange' | 'onLine'>>;

/** Base of the commands that execute the steps of a pipeline run. */
export abstract class RunCommand extends AiotCommand {
  /** @param run executes the steps with an engine, and reports progress to the given object */
  protected async takeThrough(input: Typed, run: (look: Look) => Promise<RunRecord>): Promise<RunResult> {
    const screen = this.runTable();
    const record = await run({
      signal: this.signal,
      onChange: screen.changed,
      onLine: (step, line, source) => {
        // The output is the step's result.
        if (source === 'stdout') return;
        screen.said(step, line);
        if (source === 'stderr') this.event({ step, line: line.slice(0, longestLine) });
      },
    });
    const result = resultOfRun(record);
    this.print(runText(result));
    const refusal = refusalOfRun(record);
    // For people, the reason is shown as an error below the table. In JSON, it is part of the result.
    if (refusal && !this.jsonEnabled()) throw refusal;
    if (refusal) process.exitCode = refusal.exit;
    const at = again(input, 'project');
    this.suggest(next(...waysToDevices(result), `aiot pipeline graph${at}`, `aiot pipeline history${at}`));
    return result;
  }

  /** Shows the progress of a run on stderr: a live list on a terminal, a line per step elsewhere; nothing under --quiet or --json. */
  private runTable(): RunTable {
    if (this.quiet || this.jsonEnabled()) return { changed: () => {}, said: () => {} };
    if (!drawsOver(process.stderr)) return plainLines();
    // The list is cleared at the end if the result, which repeats the whole list, is printed on the same terminal.
    return liveTable(this.steps({ keep: process.stdout.isTTY !== true }));
  }
}

interface RunTable {
  /** Called at the beginning, and whenever a step has changed. */
  changed(record: RunRecord, step?: StepRecord): void;
  /** Called with the output of a running step. */
  said(step: string, line: string): void;
}

function plainLines(): RunTable {
  const tell = (text: string) => void process.stderr.write(forTerminal(text));
  const told = new Set<string>();
  return {
    changed(_record, step) {
      if (!step || step.state === 'waiting' || (step.attempts === 0 && step.state === 'running')) return;
      const key = `${step.name} ${step.state}`;
      if (told.has(key)) return;
      told.add(key);
      if (step.state === 'running') tell(`${dim('…')} ${step.name}\n`);
      else tell(`${stepMarks[stateOf(step)]()} ${step.name}  ${besideOf(step)}\n`);
    },
    said: () => {},
  };
}

function stateOf({ state }: StepRecord): StepState {
  const known = state === 'waiting' || state === 'running' || state === 'done' || state === 'skipped';
  return known ? state : 'failed';
}

function besideOf(step: StepRecord): string {
  const took =
    step.cached || step.state === 'skipped' || step.seconds === 0
      ? ''
      : ` ${dim(`(${elapsed(step.seconds * 1000)})`)}`;
  const reason = step.reason === null ? '' : `: ${step.reason}`;
  return `${stepStateText(step)}${reason}${took}`;
}

export function liveTable(progress: Progress): RunTable {
  let steps: readonly StepRecord[] = [];
  const saying = new Map<string, string>();
  const lines = () => {
    const widest = Math.max(...steps.map(({ name }) => name.length));
    return steps.map((step): StepLine => {
      const running = step.state === 'running';
      const took = running && step.started !== null ? elapsed(Date.now() - step.started) : '';
      const beside = running ? dim(`${took}  ${saying.get(step.name) ?? ''}`) : besideOf(step);
      return { state: stateOf(step), text: `${step.name.padEnd(widest)}  ${beside}` };
    });
  };
  return {
    changed(record) {
      steps = record.steps;
      progress.update({ text: 'steps', lines });
    },
    said: (step, line) => void saying.set(step, lineText(line).slice(0, longestLine)),
  };
}
