import { Flags } from '@oclif/core';
import { argoFlags, deployFlags, stepsFlags } from '../../lib/cli/flags/projects.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { RunCommand } from '../../lib/cli/live/pipeline-run.js';
import { readSecret } from '../../lib/cli/secrets.js';
import { runOnCluster } from '../../lib/deploy/argo.js';
import { runResultSchema } from '../../lib/pipeline/run/result.js';
import { runPipeline } from '../../lib/pipeline/run/run-pipeline.js';

export default class PipelineRun extends RunCommand {
  static override summary = "Run a project's pipeline and skip unchanged steps.";
  static override description =
    'Without pipeline in aiot.yaml, the steps are extract, drift, train, quantize, evaluate, push and rollout. The rollout updates all devices and replaces their models, unless pipeline.selector in aiot.yaml selects fewer; --until push skips it. Without a context, a platform is started for the steps that need one. If a gate fails, the run exits with 6 and later steps are not run. After Ctrl-C, finished steps are kept, and aiot pipeline resume continues the run. --engine argo runs the steps on a cluster with the WorkflowTemplate from aiot pipeline render and follows them. On a cluster, Ctrl-C only stops following; aiot pipeline cancel ends the run.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --until evaluate --force',
    '<%= config.bin %> <%= command.id %> --engine argo --argo-server https://argo.internal:2746 --argo-token-file token',
  ];
  static override flags = {
    ...stepsFlags,
    until: Flags.string({ summary: 'Stop after this step.', env: 'AIOT_UNTIL', helpValue: 'STEP' }),
    force: Flags.boolean({ summary: 'Run all steps, including unchanged ones.', env: 'AIOT_FORCE' }),
    engine: Flags.option({ options: ['local', 'argo'] as const, default: 'local' as const })({
      summary: 'Where to run the steps: on this machine, or as pods on a cluster with Argo Workflows.',
      env: 'AIOT_ENGINE',
    }),
    'argo-server': Flags.string({
      summary: 'URL of the Argo server [default: argo.server in deploy.yaml].',
      env: 'AIOT_ARGO_SERVER',
      helpValue: 'URL',
    }),
    ...argoFlags,
    ca: { ...shared.ca, summary: "PEM file of the CA that signed the Argo server's certificate." },
    values: deployFlags.values,
    apply: Flags.boolean({
      summary: 'First apply the WorkflowTemplate to the cluster if it is missing or different.',
      env: 'AIOT_APPLY',
    }),
  };
  static override result = runResultSchema;

  async run() {
    const input = await this.input(PipelineRun);
    const { project: dir, engine, jobs, context, until, force, ...cluster } = input.flags;
    if (engine === 'local') {
      const asked = { dir, jobs, context, until, force };
      return await this.takeThrough(input, (look) => runPipeline({ ...asked, ...look }));
    }
    const token = await readSecret(cluster['argo-token-file'], 'AIOT_ARGO_TOKEN');
    const { 'argo-server': server, ca, values, apply } = cluster;
    const asked = { dir, server, ca, token, values, apply, local: { until, jobs, force, context } };
    return await this.takeThrough(input, (look) => runOnCluster({ ...asked, ...look }));
  }
}
