import {
  type RunPipelineOptions,
  type RunRecord,
  type RunResult,
  refusalOfRun,
  resultOfRun,
} from '../pipeline/index.js';
import { again } from './again.js';
import { AiotCommand } from './command.js';
import { drawsOver } from './redraw.js';
import { runText, waysToDevices } from './render/pipeline.js';
import { next } from './render/text.js';
import { createRunTable } from './run-table.js';

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
