import { dirname, resolve } from 'node:path';
import { AiotError } from '../../core/index.js';
import { type RunOnArgoOptions, type RunRecord, runOnArgo } from '../../pipeline/index.js';
import { pipelineTemplate, templateObject } from './pipeline.js';

export interface RunOnClusterOptions
  extends Pick<RunOnArgoOptions, 'dir' | 'apply' | 'cause' | 'clock' | 'signal' | 'onChange'> {
  /** A step to end after, which a workflow cannot: refused. */
  until?: string | undefined;
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
  const { token, values: valuesFile, until, ...more } = options;
  if (until !== undefined) {
    throw new AiotError('AIOT_USAGE', '--until: a workflow in a cluster has all of its steps, always', {
      next: `aiot pipeline run --until ${until}`,
    });
  }
  const { project, plan, values, scope, digest, template } = await pipelineTemplate(options.dir, valuesFile);
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
