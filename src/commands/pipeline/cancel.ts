import { AiotCommand } from '../../lib/cli/command.js';
import { argoFlags, runArg } from '../../lib/cli/flags/projects.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { runStateText } from '../../lib/cli/render/pipeline.js';
import { next } from '../../lib/cli/render/text.js';
import { readSecret } from '../../lib/cli/secrets.js';
import { runRecordSchema } from '../../lib/pipeline/run/record.js';
import { cancelPipeline } from '../../lib/pipeline/status.js';

export default class PipelineCancel extends AiotCommand {
  static override summary = 'Cancel a pipeline run and everything it started.';
  static override description =
    'Finished steps are kept. If the runner was killed, its remaining processes are stopped. For a run on a cluster, the workflow is terminated.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --project motor-watch --json',
  ];
  static override args = runArg;
  static override flags = { project: shared.project, ...argoFlags };
  static override result = runRecordSchema;

  async run() {
    const input = await this.input(PipelineCancel);
    const { args, flags } = input;
    const token = await readSecret(flags['argo-token-file'], 'AIOT_ARGO_TOKEN');
    const record = await cancelPipeline({ dir: flags.project, run: args.run, token });
    this.print(`Run ${record.run} is ${runStateText(record.state)}`);
    if (record.state !== 'done')
      this.suggest(next(`aiot pipeline resume ${record.run}${again(input, 'project')}`));
    return record;
  }
}
