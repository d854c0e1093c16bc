import { AiotError } from '../../core/errors.js';
import { takeLock } from '../../core/lock.js';
import { isAlive } from '../../core/process.js';
import { type Clock, systemClock } from '../../core/time.js';
import { interrupted } from '../run/lifecycle.js';
import { type PipelineFolders, type RunRecord, readRun, writeRun } from '../run/record.js';
import { ArgoClient, accessOf, orNull } from './client.js';
import { follow, settle } from './settle.js';
import { isOver, type Workflow } from './workflow.js';

/** How long to wait for the cluster to end the pods, ms. */
const endMs = 20_000;

interface CancelOnArgoOptions {
  folders: PipelineFolders;
  record: RunRecord;
  token?: string | undefined;
  clock?: Clock;
}

/**
 * Terminates the workflow of a run. A workflow that has already ended is left unchanged, and its result is written to the record.
 * @throws AIOT_ARGO_*
 */
export async function cancelOnArgo(options: CancelOnArgoOptions): Promise<RunRecord> {
  const { folders, record, token, clock = systemClock } = options;
  const { name } = record.workflow!;
  const client = new ArgoClient(accessOf(record.workflow!, token));
  try {
    const found = await orNull(client.workflow(name));
    const over = found === null || isOver(found);
    if (!over) await client.terminate(name);
    // If the runner is alive, it follows the workflow and records its end.
    if (record.runner) await untilSettled(folders, record, clock);
    const release = await takeLock(folders.lock, 2000);
    try {
      const now = await readRun(folders, record.run);
      if (now.state !== 'running' && now.state !== 'interrupted') return now;
      const last = over ? found : await endOf(client, name, clock);
      if (last === undefined) Object.assign(now, interrupted(now, 'cancelled', clock.now()));
      else await settle({ record: now, workflow: last, client, folders, clock });
      await writeRun(folders, now);
      return now;
    } finally {
      release?.();
    }
  } finally {
    await client.close();
  }
}

async function untilSettled(
  folders: PipelineFolders,
  { run, runner }: RunRecord,
  clock: Clock,
): Promise<void> {
  for (const deadline = performance.now() + endMs; performance.now() < deadline; await clock.sleep(50)) {
    if (!runner || !(await isAlive(runner))) return;
    if ((await readRun(folders, run)).state !== 'running') return;
  }
}

/** Waits for the workflow to end. null = the workflow was deleted; undefined = it did not end in time, so its outcome is unknown. */
async function endOf(client: ArgoClient, name: string, clock: Clock): Promise<Workflow | null | undefined> {
  const signal = AbortSignal.timeout(endMs);
  try {
    return await follow({ client, name, clock, signal, onChange: () => {} });
  } catch (error) {
    if (signal.aborted || error instanceof AiotError) return undefined;
    throw error;
  }
}
