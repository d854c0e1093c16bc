import { AiotError, type Clock, hasCode, systemClock } from '../../core/index.js';
import type { PipelineFolders } from '../folders.js';
import { interrupted, prepareFolders } from '../run/begin.js';
import { identify } from '../run/processes.js';
import { pruneRuns, type RunRecord, type StepRecord, writeRun } from '../run/record.js';
import { createRecorder } from '../run/recorder.js';
import { type ArgoClient, orNull } from './client.js';
import { follow } from './follow.js';
import { settle } from './settle.js';
import { isOver, stepsOfWorkflow, type Workflow } from './workflow.js';

/** Label of a workflow: the run that it is of. */
const runLabel = 'aiot/run';
const mostSubmits = 4;

export interface Watching {
  clock?: Clock;
  signal?: AbortSignal;
  onChange?: (record: RunRecord, step?: StepRecord) => void;
}

interface LookOn extends Watching {
  client: ArgoClient;
  clock: Clock;
  folders: PipelineFolders;
  /** Runs of the history. */
  keep: number;
}

/**
 * Takes the workflow of a run to its end, or to the signal: the record says how far it came.
 * @throws AIOT_ARGO_*
 */
export async function lookOn(record: RunRecord, options: LookOn): Promise<RunRecord> {
  const { client, clock, folders, onChange } = options;
  const signal = options.signal ?? new AbortController().signal;
  const { name } = record.workflow!;
  const recorder = createRecorder((now) => writeRun(folders, now), record);
  const take = (workflow: Workflow) => {
    const before = new Map(record.steps.map((step) => [step.name, step]));
    record.steps = stepsOfWorkflow(workflow, [...before.keys()]);
    const changed = record.steps.filter((step) => !isSame(step, before.get(step.name)!));
    if (changed.length === 0) return;
    recorder.changed();
    for (const step of changed) onChange?.(record, step);
  };
  await prepareFolders(folders);
  record.runner = await identify(process.pid);
  // On disk before anything is asked of the cluster: after a kill it is known what may have been submitted.
  await writeRun(folders, record);
  onChange?.(record);
  try {
    const first = await begin(record, client, signal);
    record.workflow!.seen = true;
    recorder.changed();
    if (first) take(first);
    const on = first !== null && !isOver(first);
    const last = on ? await follow({ client, name, clock, signal, onChange: take }) : first;
    await settle({ record, workflow: last, client, folders, clock });
  } catch (error) {
    Object.assign(record, interrupted(record, 'interrupted', clock.now()));
    if (!signal.aborted) {
      await recorder.end();
      throw error;
    }
  }
  await recorder.end();
  await pruneRuns(folders, options.keep);
  return record;
}

/** The workflow of a run: submitted, found, or, where it failed, set going again; null where it was deleted. */
async function begin(record: RunRecord, client: ArgoClient, signal: AbortSignal): Promise<Workflow | null> {
  const { name, seen } = record.workflow!;
  if (!seen) return await submit(record, client, signal);
  const found = await orNull(client.workflow(name, signal));
  if (!found || !isOver(found) || found.status?.phase === 'Succeeded') return found;
  return await client.retry(name);
}

/** Whether a call has arrived that nobody heard the answer of is not known: under its name it can be sent again. */
async function submit(record: RunRecord, client: ArgoClient, signal: AbortSignal): Promise<Workflow> {
  const { name, template, namespace } = record.workflow!;
  const { run, cause } = record;
  const more = { labels: { [runLabel]: run }, parameters: { run, cause: cause.text } };
  for (let attempt = 1; ; attempt++) {
    try {
      return await client.submit(template, name, more);
    } catch (error) {
      signal.throwIfAborted();
      if (hasCode(error, 'AIOT_ARGO_CONFLICT')) {
        const there = await client.workflow(name, signal);
        if (there.metadata.labels?.[runLabel] === run) return there;
      }
      if (hasCode(error, 'AIOT_NOT_FOUND')) {
        const told = `the WorkflowTemplate ${template} in the namespace ${namespace} is not there`;
        throw new AiotError('AIOT_ARGO_TEMPLATE', told, { cause: error });
      }
      if (!(error instanceof AiotError) || !error.retryable || attempt === mostSubmits) throw error;
    }
    await systemClock.sleep(500 * 2 ** attempt, signal);
  }
}

function isSame(one: StepRecord, other: StepRecord): boolean {
  return one.state === other.state && one.reason === other.reason && one.attempts === other.attempts;
}
