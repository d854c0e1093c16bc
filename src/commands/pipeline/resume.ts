import { argoFlags, runArg, stepsFlags } from '../../lib/cli/flags/projects.js';
import { RunCommand } from '../../lib/cli/live/pipeline-run.js';
import { readSecret } from '../../lib/cli/secrets.js';
import { runResultSchema } from '../../lib/pipeline/run/result.js';
import { resumePipeline } from '../../lib/pipeline/status.js';

export default class PipelineResume extends RunCommand {
  static override summary = 'Go on with a run that was interrupted, cancelled, or failed.';
  static override description =
    'Steps that are done stay done, unless what they were made of has changed since. What a runner that was killed has left running is ended first. Of a run on a cluster its workflow is looked on at again, and tried again where it failed; nothing is submitted twice.';
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
