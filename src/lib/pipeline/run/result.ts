import * as z from 'zod';
import { catalogue, type ErrorCode } from '../../core/catalogue.js';
import { AiotError } from '../../core/errors.js';
import { type RunRecord, runRecordSchema, stepRecordSchema } from './record.js';

const { run, state, cause, who, context, model, published, engine, workflow } = runRecordSchema.shape;
const { name, cached, seconds, attempts, exit, peakBytes, reason, error } = stepRecordSchema.shape;

/** The outcome of a run. */
export const runResultSchema = z.object({
  run,
  state,
  steps: z.array(
    z.object({
      name,
      state: stepRecordSchema.shape.state,
      cached,
      seconds,
      attempts,
      exit,
      peakBytes,
      reason,
      error,
    }),
  ),
  model,
  seconds: z.number(),
  cause,
  who,
  context,
  published,
  engine,
  workflow,
});
export type RunResult = z.output<typeof runResultSchema>;

export function resultOfRun(record: RunRecord): RunResult {
  return runResultSchema.parse(record);
}

/** The error for a run that did not succeed, with the code of the error that stopped the run; null if the run succeeded. */
export function refusalOfRun(record: RunRecord): AiotError | null {
  if (record.state === 'done') return null;
  if (record.state === 'interrupted' || record.state === 'cancelled') {
    const { workflow } = record;
    const on =
      workflow?.seen && record.state === 'interrupted' ? `; ${workflow.name} continues in the cluster` : '';
    return new AiotError(
      'AIOT_INTERRUPTED',
      `run ${record.run} was ${record.state === 'cancelled' ? 'canceled' : record.state}${on}`,
      {
        next: `To continue, run \`aiot pipeline resume ${record.run}\`.`,
      },
    );
  }
  const step = record.steps.find((each) => each.state === 'failed' || each.state === 'stopped');
  const told = `${step?.name}: ${step?.reason ?? 'it failed'}`;
  const code = step?.error?.code;
  const known = code !== undefined && Object.hasOwn(catalogue, code) ? (code as ErrorCode) : null;
  const gate = step?.state === 'stopped';
  // A gate must exit with 6, and other failures must not. A step's reported error code is used only if the step's exit code follows this
  // rule.
  const fits = known !== null && (catalogue[known].exit === 6) === gate;
  const used = fits ? known : gate ? 'AIOT_GATE_FAILED' : 'AIOT_PIPELINE_STEP';
  const next = step?.error?.next ?? `To see its output, run \`aiot pipeline status --step ${step?.name}\`.`;
  return new AiotError(used, told, { next });
}

/** A step's line for people. Commands of aiot report epochs, steps and stages as JSON; other JSON is not shown. */
export function lineText(line: string): string {
  if (!line.startsWith('{')) return line;
  try {
    const { text, stage, epoch, epochs } = JSON.parse(line) as Record<string, unknown>;
    if (epoch !== undefined) return `epoch ${String(epoch)} of ${String(epochs)}`;
    return String(text ?? stage ?? '');
  } catch {
    return line;
  }
}
