import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { AiotError, type Clock, writeFileAtomic } from '../../core/index.js';
import type { PipelineFolders } from '../folders.js';
import { modelOf } from '../run/finish.js';
import type { RunRecord } from '../run/record.js';
import { placesOf } from '../run/run-step.js';
import type { ArgoClient } from './client.js';
import { stateOfWorkflow, stepOfPod, stepsOfWorkflow, type Workflow } from './workflow.js';

const logsMs = 30_000;

export interface SettleOptions {
  record: RunRecord;
  /** As it was at its end; null = it was deleted. */
  workflow: Workflow | null;
  client: ArgoClient;
  folders: PipelineFolders;
  clock: Clock;
}

/** Writes into the record what a workflow that is over has come to; what its steps said is kept beside it. */
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

/** Where `aiot pipeline status --step` finds them. That a log is no more there loses the log, not the run. */
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
