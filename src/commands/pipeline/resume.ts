import { argoFlags, runArg, stepsFlags } from '../../lib/cli/flags/projects.js';
import { RunCommand } from '../../lib/cli/live/pipeline-run.js';
import { readSecret } from '../../lib/cli/secrets.js';
import { runResultSchema } from '../../lib/pipeline/run/result.js';
import { resumePipeline } from '../../lib/pipeline/status.js';

export default class PipelineResume extends RunCommand {
  static override summary = 'Resume an interrupted, canceled or failed run.';
  static override description =
    'Finished steps are not repeated, unless their inputs have changed since. If the runner was killed, its remaining processes are stopped first. For a run on a cluster, aiot follows the workflow again and retries it where it failed; nothing is submitted twice.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> run_01jd --project motor-watch --json',
  ];
  static override args = runArg;
  static override flags = { ...stepsFlags, ...argoFlags };
  static override result = runResultSchema;

  async run() {
    const input = await this.input(PipelineResume);
    const { project: dir, jobs, context } = input.flags;
    const token = await readSecret(input.flags['argo-token-file'], 'AIOT_ARGO_TOKEN');
    const asked = { dir, jobs, context, token, run: input.args.run };
    return await this.takeThrough(input, (look) => resumePipeline({ ...asked, ...look }));
  }
}
