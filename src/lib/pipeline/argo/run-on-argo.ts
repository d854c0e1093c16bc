import { AiotError, loadProject, systemClock } from '../../core/index.js';
import { pipelineFolders } from '../folders.js';
import { holdPipeline } from '../run/begin.js';
import {
  type Cause,
  newRunRecord,
  newStepRecord,
  nextRunId,
  type RunRecord,
  readRun,
} from '../run/record.js';
import { type ArgoAccess, ArgoClient, accessOf, type FoundTemplate, orNull } from './client.js';
import { lookOn, type Watching } from './look-on.js';

/** Annotation of a rendered WorkflowTemplate: the digest of what it runs. */
export const digestAnnotation = 'aiot/digest';

/** A rendered WorkflowTemplate. */
export interface ArgoTemplate {
  name: string;
  /** As its annotation says. */
  digest: string;
  /** As it is sent to the server. */
  object: object;
  /** In their order. */
  steps: string[];
}

export interface RunOnArgoOptions extends Watching {
  /** The project's folder. */
  dir: string;
  access: ArgoAccess;
  template: ArgoTemplate;
  /** Puts the template there first, where it is missing or another one. */
  apply?: boolean;
  cause?: Cause;
}

/**
 * Runs a project's pipeline on a cluster: submits its WorkflowTemplate by Argo's server and looks on until it is over. The record is as of
 * a run here. When the signal ends it the workflow goes on, and `resumeOnArgo` looks on again.
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

export interface ResumeOnArgoOptions extends Watching {
  dir: string;
  /** Id of the run. */
  run: string;
  token?: string | undefined;
}

/**
 * Looks on again at the workflow of a run; one that failed is tried again from where it failed. Nothing is submitted that has been.
 * @throws AIOT_PIPELINE_BUSY, AIOT_ARGO_*, AIOT_NOT_FOUND (it was deleted since)
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

/** Cluster and project mean the same steps, or it is said that they do not. @throws AIOT_ARGO_TEMPLATE */
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
    ? `${where} is not what the project renders now: aiot.yaml, a file that goes along, deploy.yaml or aiot is another one`
    : `${where} is not there`;
}

/** At most 63 characters, as it is the value of a label; the same for the same run. */
function workflowName(template: string, run: string): string {
  return `${template.slice(0, 36).replace(/-+$/, '')}-${run.replace(/^run_/, '')}`;
}
