import { dirname, resolve } from 'node:path';
import { AiotError } from '../core/errors.js';
import { loadProject } from '../core/project.js';
import { type RunOnArgoOptions, runOnArgo } from '../pipeline/argo/run-on-argo.js';
import type { RunRecord } from '../pipeline/run/record.js';
import { largeFilesText, pipelineFiles, pipelineTemplate, templateObject } from './argo-template.js';
import { type Rendered, writeRendering } from './render.js';
import { fillText, templateText } from './template.js';
import { loadValues, nothing } from './values.js';

interface RenderPipelineOptions {
  project: string;
  out: string;
  /** Path of the values file; absent = the project's deploy.yaml. */
  values?: string;
  dryRun?: boolean;
  /** Whether to overwrite files that were edited after they were rendered. */
  force?: boolean;
}

/**
 * Renders the pipeline of a project as templates of Argo Workflows, with the same commands in the same order and the same files.
 * @throws AIOT_PROJECT_INVALID, AIOT_DEPLOY_VALUES, AIOT_DEPLOY_EDITED, AIOT_USAGE, AIOT_FILE_NOT_WRITABLE
 */
export async function renderPipeline(options: RenderPipelineOptions): Promise<Rendered> {
  const project = await loadProject(options.project);
  const values = await loadValues({ file: options.values, project, usual: () => nothing });
  const { plan, name, files: made, large } = await pipelineFiles(project, values);
  const about = { project: plan.project, namespace: values.namespace, name };
  const text = fillText(templateText('argo/readme.txt'), about) + largeFilesText(large);
  const files = [...made, { path: 'README.md', text, about: 'instructions for these files' }];
  const { out, dryRun = false, force = false } = options;
  const next = 'kubectl apply --server-side -f .';
  return writeRendering({
    target: 'argo',
    out,
    files,
    next,
    project: plan.project,
    ...{ dryRun, force },
  });
}

interface RunOnClusterOptions
  extends Pick<RunOnArgoOptions, 'dir' | 'apply' | 'cause' | 'clock' | 'signal' | 'onChange'> {
  /** Options that only local runs support. They are rejected if given. */
  local?: {
    until: string | undefined;
    jobs: number | undefined;
    force: boolean;
    context: string | undefined;
  };
  /** URL of Argo's server; absent = argo.server in deploy.yaml. */
  server?: string | undefined;
  /** PEM file of the server's CA; absent = argo.ca in deploy.yaml, or the system's CAs. */
  ca?: string | undefined;
  /** Token of a service account (secret). */
  token?: string | undefined;
  /** Path of the values file; absent = the project's deploy.yaml. */
  values?: string | undefined;
}

/**
 * Runs a project's pipeline on the cluster that deploy.yaml describes.
 * @throws as runOnArgo and renderPipeline; AIOT_USAGE if the address of Argo's server is missing
 */
export async function runOnCluster(options: RunOnClusterOptions): Promise<RunRecord> {
  const { token, values: valuesFile, local, ...more } = options;
  requireNoneOf(local);
  const project = await loadProject(options.dir);
  const values = await loadValues({ file: valuesFile, project, usual: () => nothing });
  const { plan, scope, digest, template } = await pipelineTemplate(project, values);
  const given = values.argo ? values.argo : { server: undefined, ca: undefined };
  const server = options.server ?? given.server;
  if (server === undefined) {
    throw new AiotError('AIOT_USAGE', 'the URL of the Argo server is missing', {
      next: 'Specify it with --argo-server https://HOST:2746, or as argo: { server: … } in deploy.yaml.',
    });
  }
  const beside = valuesFile === undefined ? project.dir : dirname(resolve(valuesFile));
  const ca = options.ca === undefined ? given.ca && resolve(beside, given.ca) : resolve(options.ca);
  return await runOnArgo({
    ...more,
    access: {
      ...{ server, namespace: values.namespace, ca: ca ?? null },
      ...(token === undefined ? {} : { token }),
    },
    template: {
      ...{ name: scope.name, digest, object: templateObject(template) },
      steps: plan.steps.map(({ name }) => name),
    },
  });
}

function requireNoneOf({
  until,
  jobs,
  force,
  context,
}: NonNullable<RunOnClusterOptions['local']> | Record<string, never> = {}) {
  const [flag, why] =
    until !== undefined
      ? ['until', 'a workflow on a cluster always runs all of its steps']
      : jobs !== undefined
        ? ['jobs', 'on a cluster, each step starts when the steps before it are done']
        : force
          ? ['force', 'nothing is cached from earlier runs on a cluster: all steps are run']
          : context !== undefined
            ? ['context', 'steps on a cluster use the context in their Secret pipeline-context']
            : [];
  if (flag)
    throw new AiotError('AIOT_USAGE', `--${flag}: ${why}`, {
      next: `Omit --${flag}, or omit --engine argo to run on this machine.`,
    });
}
