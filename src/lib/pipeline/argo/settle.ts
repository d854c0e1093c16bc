import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { AiotError } from '../../core/errors.js';
import { writeFileAtomic } from '../../core/files.js';
import type { Clock } from '../../core/time.js';
import { modelOf } from '../run/lifecycle.js';
import type { PipelineFolders, RunRecord } from '../run/record.js';
import { placesOf } from '../run/run-step.js';
import { type ArgoClient, orNull } from './client.js';
import { isOver, stateOfWorkflow, stepOfPod, stepsOfWorkflow, type Workflow } from './workflow.js';

const logsMs = 30_000;

interface SettleOptions {
  record: RunRecord;
  /** The workflow at its end; null = the workflow was deleted. */
  workflow: Workflow | null;
  client: ArgoClient;
  folders: PipelineFolders;
  clock: Clock;
}

/** Writes a finished workflow's outcome to the record, and stores the steps' output beside the record. */
export async function settle({ record, workflow, client, folders, clock }: SettleOptions): Promise<void> {
  if (workflow) {
    const names = record.steps.map(({ name }) => name);
    record.steps = stepsOfWorkflow(workflow, names);
    record.state = stateOfWorkflow(workflow, record.steps) ?? 'interrupted';
    await keepLogs(record, workflow, client, folders);
  } else {
    const gone = { state: 'cancelled' as const, reason: 'the workflow was deleted in the cluster' };
    record.steps = record.steps.map((step) =>
      step.state === 'running' || step.state === 'waiting' ? { ...step, ...gone } : step,
    );
    record.state = 'cancelled';
  }
  const finished = Date.parse(workflow?.status?.finishedAt ?? '');
  const ended = Number.isNaN(finished) ? clock.now() : Math.max(finished, record.started);
  const seconds = Math.round(ended - record.started) / 1000;
  Object.assign(record, { model: modelOf(record.steps), runner: null, ended, seconds });
}

/** Stores the logs for `aiot pipeline status --step`. An unavailable log is omitted and does not make the run fail. */
async function keepLogs(
  { run, workflow: ref }: RunRecord,
  workflow: Workflow,
  client: ArgoClient,
  folders: PipelineFolders,
): Promise<void> {
  const logs = new Map<string, string[]>();
  const signal = AbortSignal.timeout(logsMs);
  try {
    for await (const { podName, content } of client.log(ref!.name, signal)) {
      const step = stepOfPod(workflow, podName);
      if (step === null) continue;
      const lines = logs.get(step);
      if (lines) lines.push(content);
      else logs.set(step, [content]);
    }
  } catch (error) {
    if (!(error instanceof AiotError) && !signal.aborted) throw error;
  }
  for (const [step, lines] of logs) {
    const { log } = placesOf(folders, run, step);
    await mkdir(dirname(log), { recursive: true });
    await writeFileAtomic(log, `${lines.join('\n')}\n`);
  }
}

interface FollowOptions {
  client: Pick<ArgoClient, 'workflow' | 'changes'>;
  name: string;
  clock: Clock;
  signal: AbortSignal;
  onChange(workflow: Workflow): void;
}

/** Delay after a watch has ended, doubled each time the server does not respond; ms. */
const againMs = { first: 1000, most: 30_000 };

/** Maximum time for which a server may be unreachable, ms: long enough for a node of a small cluster to restart. */
const awayMs = 600_000;

/**
 * Follows a workflow until it ends. A watch may end at any time without notice. Before the watch is restarted, the workflow's current state
 * is fetched.
 * @returns null if the workflow was deleted @throws AIOT_ARGO_*, and the signal's reason
 */
export async function follow(options: FollowOptions): Promise<Workflow | null> {
  const { client, name, clock, signal, onChange } = options;
  let since: number | null = null;
  for (let wait = againMs.first; ; ) {
    try {
      const now = await orNull(client.workflow(name, signal));
      if (now === null) return null;
      since = null;
      wait = againMs.first;
      onChange(now);
      if (isOver(now)) return now;
      for await (const next of client.changes(name, signal)) {
        if (next === null) return null;
        onChange(next);
        if (isOver(next)) return next;
      }
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof AiotError) || !error.retryable) throw error;
      since ??= clock.now();
      if (clock.now() - since > awayMs) throw error;
    }
    await clock.sleep(wait, signal);
    wait = Math.min(againMs.most, wait * 2);
  }
}
