import { dirname, resolve } from 'node:path';
import { AiotError } from '../core/errors.js';
import { loadProject } from '../core/project.js';
import { type RunOnArgoOptions, runOnArgo } from '../pipeline/argo/run-on-argo.js';
import type { RunRecord } from '../pipeline/run/record.js';
import { largeFilesText, pipelineFiles, pipelineTemplate, templateObject } from './argo-template.js';
import { type Rendered, writeRendering } from './render.js';
import type { RenderedPipeline } from './types.js';
import { loadValues, nothing } from './values.js';

export interface RenderPipelineOptions {
  project: string;
  out: string;
  /** File of values; absent = deploy.yaml of the project. */
  values?: string;
  dryRun?: boolean;
  yes?: boolean;
}

/**
 * The pipeline of a project as templates of Argo Workflows: the same commands in the same order, with the same files.
 * @throws AIOT_PROJECT_INVALID, AIOT_DEPLOY_VALUES, AIOT_DEPLOY_EDITED, AIOT_USAGE, AIOT_FILE_NOT_WRITABLE
 */
export async function renderPipeline(options: RenderPipelineOptions): Promise<Rendered> {
  const project = await loadProject(options.project);
  const values = await loadValues({ file: options.values, project, usual: () => nothing });
  const { plan, name, files: made, large } = await pipelineFiles(project, values);
  const text = readme(plan.project, values.namespace, name, large);
  const files = [...made, { path: 'README.md', text, about: 'what to do with these files' }];
  const { out, dryRun, yes } = options;
  const next = 'kubectl apply --server-side -f .';
  return writeRendering({
    target: 'argo',
    out,
    files,
    next,
    project: plan.project,
    ...(dryRun ? { dryRun } : {}),
    ...(yes ? { yes } : {}),
  });
}

function readme(project: string, namespace: string, name: string, large: RenderedPipeline['large']): string {
  return `# The pipeline of ${project} on Argo

Rendered by \`aiot pipeline render --target argo\`. Each step is a pod: the same command as in \`aiot pipeline run\`, in a folder with the same files.

\`\`\`sh
kubectl -n ${namespace} create secret generic pipeline-context --from-file=CONFIG-FOLDER   # contexts.json, the signing key: of a user of its own
kubectl apply --server-side -f .
argo submit -n ${namespace} --from workflowtemplate/${name} --watch
\`\`\`

- The service account \`pipeline\` and the artifact repository are of \`aiot deploy render --target k3s\`.
- A gate (exit code 6) fails its step, and nothing behind it is run. A step that has nothing to do says so in its \`result\`, and leaves nothing.
- Nothing is cached between runs.
${largeFilesText(large)}`;
}

export interface RunOnClusterOptions
  extends Pick<RunOnArgoOptions, 'dir' | 'apply' | 'cause' | 'clock' | 'signal' | 'onChange'> {
  /** What only the steps of this machine heed: refused. */
  local?: {
    until: string | undefined;
    jobs: number | undefined;
    force: boolean;
    context: string | undefined;
  };
  /** URL of Argo's server; absent = argo.server of deploy.yaml. */
  server?: string | undefined;
  /** PEM file of its CA; absent = argo.ca of deploy.yaml, or the system's CAs. */
  ca?: string | undefined;
  /** Of a service account (secret). */
  token?: string | undefined;
  /** File of values; absent = deploy.yaml of the project. */
  values?: string | undefined;
}

/**
 * Runs a project's pipeline on the cluster that deploy.yaml means.
 * @throws as runOnArgo and renderPipeline; AIOT_USAGE nobody says where Argo's server is
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
    throw new AiotError('AIOT_USAGE', 'expected the URL of Argo’s server: --argo-server', {
      next: 'Name it by --argo-server https://HOST:2746, or as argo: { server: … } in deploy.yaml.',
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
      ? ['until', 'a workflow in a cluster has all of its steps, always']
      : jobs !== undefined
        ? ['jobs', 'the cluster has each step begin when those before it are done']
        : force
          ? ['force', 'nothing is known from an earlier run in a cluster: all steps are run']
          : context !== undefined
            ? ['context', 'steps in a cluster have the context that its Secret pipeline-context holds']
            : [];
  if (flag)
    throw new AiotError('AIOT_USAGE', `--${flag}: ${why}`, {
      next: `Leave --${flag} out, or --engine argo.`,
    });
}
