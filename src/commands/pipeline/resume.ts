import { RunCommand, runArg, stepsFlags } from '../../lib/cli/index.js';
import { runResultSchema } from '../../lib/pipeline/index.js';

export default class PipelineResume extends RunCommand {
  static override summary = 'Go on with a run that was interrupted, cancelled, or failed.';
  static override description =
    'Steps that are done stay done, unless what they were made of has changed since. What a runner that was killed has left running is ended first.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> run_01jd --project motor-watch --json',
  ];
  static override args = runArg;
  static override flags = stepsFlags;
  static override result = runResultSchema;

  async run() {
    const input = await this.input(PipelineResume);
    const { project: dir, ...asked } = input.flags;
    return await this.takeThrough(input, { dir, ...asked, resume: input.args.run ?? '' });
  }
}
