import { AiotError, hasCode } from '../../core/errors.js';
import { identify } from '../../core/process.js';
import { loadProject } from '../../core/project.js';
import { backOffMs, type Clock, systemClock } from '../../core/time.js';
import { holdPipeline, interrupted, prepareFolders } from '../run/lifecycle.js';
import {
  type Cause,
  createRecorder,
  newRunRecord,
  newStepRecord,
  nextRunId,
  type PipelineFolders,
  pipelineFolders,
  pruneRuns,
  type RunRecord,
  readRun,
  type StepRecord,
  writeRun,
} from '../run/record.js';
import { type ArgoAccess, ArgoClient, accessOf, type FoundTemplate, orNull } from './client.js';
import { follow, settle } from './settle.js';
import { isOver, stepsOfWorkflow, type Workflow } from './workflow.js';

/** Annotation with the digest of a rendered WorkflowTemplate. */
const digestAnnotation = 'aiot/digest';

/** A rendered WorkflowTemplate. */
interface ArgoTemplate {
  name: string;
  /** Digest of the template, from its annotation. */
  digest: string;
  /** The template as sent to the server. */
  object: object;
  /** Names of the steps, in execution order. */
  steps: string[];
}

export interface RunOnArgoOptions extends Watching {
  /** The project's folder. */
  dir: string;
  access: ArgoAccess;
  template: ArgoTemplate;
  /** Whether to create or update the template first if it is missing or different. */
  apply?: boolean;
  cause?: Cause;
}

/**
 * Runs a project's pipeline on a cluster: submits its WorkflowTemplate to Argo's server and follows the workflow until it ends. The record
 * has the same form as for a local run. If the signal aborts the call, the workflow continues, and `resumeOnArgo` can follow it again.
 * @throws AIOT_PROJECT_*, AIOT_PIPELINE_BUSY, AIOT_ARGO_*
 */
export async function runOnArgo(options: RunOnArgoOptions): Promise<RunRecord> {
  const { access, template, clock = systemClock } = options;
  const project = await loadProject(options.dir);
  const folders = pipelineFolders(project.dir);
  const client = new ArgoClient(access);
  try {
    await agree(client, options);
    const release = await holdPipeline(folders, clock);
    try {
      const record = newRunRecord(project.config.name, clock, {
        run: await nextRunId(folders, clock),
        engine: 'argo',
        asked: { until: null, force: true },
        steps: template.steps.map(newStepRecord),
        ...(options.cause ? { cause: options.cause } : {}),
      });
      const { server, namespace, ca } = access;
      const name = workflowName(template.name, record.run);
      record.workflow = { server, namespace, ca, template: template.name, name, seen: false };
      const keep = project.config.pipeline.keep.runs;
      return await lookOn(record, { ...options, client, clock, folders, keep });
    } finally {
      release();
    }
  } finally {
    await client.close();
  }
}

interface ResumeOnArgoOptions extends Watching {
  dir: string;
  run: string;
  token?: string | undefined;
}

/**
 * Follows the workflow of a run again. A failed workflow is retried from the point of failure. Nothing is submitted twice.
 * @throws AIOT_PIPELINE_BUSY, AIOT_ARGO_*, AIOT_NOT_FOUND (the workflow was deleted)
 */
export async function resumeOnArgo(options: ResumeOnArgoOptions): Promise<RunRecord> {
  const { clock = systemClock, token } = options;
  const project = await loadProject(options.dir);
  const folders = pipelineFolders(project.dir);
  const release = await holdPipeline(folders, clock);
  try {
    const record = await readRun(folders, options.run);
    const client = new ArgoClient(accessOf(record.workflow!, token));
    try {
      Object.assign(record, { state: 'running', ended: null });
      const keep = project.config.pipeline.keep.runs;
      return await lookOn(record, { ...options, client, clock, folders, keep });
    } finally {
      await client.close();
    }
  } finally {
    release();
  }
}

/** Ensures that the template on the cluster matches the rendered template. @throws AIOT_ARGO_TEMPLATE */
async function agree(client: ArgoClient, { template, apply, access }: RunOnArgoOptions): Promise<void> {
  const { name, digest, object } = template;
  const found = await orNull(client.template(name));
  if (found?.metadata.annotations?.[digestAnnotation] === digest) return;
  if (apply) return await client.putTemplate(name, object, found);
  throw new AiotError('AIOT_ARGO_TEMPLATE', differs(found, name, access.namespace), {
    endpoint: access.server,
  });
}

function differs(found: FoundTemplate | null, name: string, namespace: string): string {
  const where = `the WorkflowTemplate ${name} in the namespace ${namespace}`;
  return found
    ? `${where} differs from the current rendering: aiot.yaml, one of its files, deploy.yaml or aiot has changed`
    : `${where} does not exist`;
}

/** Name of a run's workflow. It depends only on the run, and has at most 63 characters, because it is also used as a label. */
function workflowName(template: string, run: string): string {
  return `${template.slice(0, 36).replace(/-+$/, '')}-${run.replace(/^run_/, '')}`;
}

/** Label with which a workflow refers to its run. */
const runLabel = 'aiot/run';

const mostSubmits = 4;

interface Watching {
  clock?: Clock;
  signal?: AbortSignal;
  onChange?: (record: RunRecord, step?: StepRecord) => void;
}

interface LookOn extends Watching {
  client: ArgoClient;
  clock: Clock;
  folders: PipelineFolders;
  /** Maximum number of runs in the history. */
  keep: number;
}

/**
 * Follows a run's workflow until it ends or `signal` aborts. Keeps `record` and its file up to date.
 * @throws AIOT_ARGO_*
 */
async function lookOn(record: RunRecord, options: LookOn): Promise<RunRecord> {
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
  // Written before the cluster is contacted. If this process is killed afterwards, the record contains the name of a workflow that may
  // exist.
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

/** Submits a run's workflow or, if it exists, finds it and retries it after a failure. Returns null if the workflow was deleted. */
async function begin(record: RunRecord, client: ArgoClient, signal: AbortSignal): Promise<Workflow | null> {
  const { name, seen } = record.workflow!;
  if (!seen) return await submit(record, client, signal);
  const found = await orNull(client.workflow(name, signal));
  if (!found || !isOver(found) || found.status?.phase === 'Succeeded') return found;
  return await client.retry(name);
}

/**
 * Submits a workflow. If there is no response, the request may still have arrived. Repeating the request is safe, because the name is
 * fixed.
 */
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
        const told = `the WorkflowTemplate ${template} in the namespace ${namespace} does not exist`;
        throw new AiotError('AIOT_ARGO_TEMPLATE', told, { cause: error });
      }
      if (!(error instanceof AiotError) || !error.retryable || attempt === mostSubmits) throw error;
    }
    await systemClock.sleep(backOffMs(attempt, 1000), signal);
  }
}

function isSame(one: StepRecord, other: StepRecord): boolean {
  return one.state === other.state && one.reason === other.reason && one.attempts === other.attempts;
}
