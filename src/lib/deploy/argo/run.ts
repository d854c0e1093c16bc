import { dirname, resolve } from 'node:path';
import { AiotError, loadProject } from '../../core/index.js';
import { type RunOnArgoOptions, type RunRecord, runOnArgo } from '../../pipeline/index.js';
import { loadValues, nothing } from '../values/index.js';
import { pipelineTemplate, templateObject } from './template.js';

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
