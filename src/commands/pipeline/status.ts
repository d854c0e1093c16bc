import { Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { runArg } from '../../lib/cli/flags/projects.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { runStatusText } from '../../lib/cli/render/pipeline.js';
import { next } from '../../lib/cli/render/text.js';
import { pipelineStatus, runStatusSchema } from '../../lib/pipeline/status.js';

export default class PipelineStatus extends AiotCommand {
  static override summary = "Show a run's trigger, its steps and their output.";
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --step train',
    '<%= config.bin %> <%= command.id %> run_01jd --project motor-watch --json',
  ];
  static override args = runArg;
  static override flags = {
    project: shared.project,
    step: Flags.string({
      summary: 'Show only this step, with its output and files.',
      env: 'AIOT_STEP',
      helpValue: 'STEP',
    }),
  };
  static override result = runStatusSchema;

  async run() {
    const input = await this.input(PipelineStatus);
    const { args, flags } = input;
    const status = await pipelineStatus({ dir: flags.project, run: args.run, step: flags.step });
    this.print(runStatusText(status, flags.step));
    const at = again(input, 'project');
    const open = ['interrupted', 'cancelled', 'failed', 'stopped'].includes(status.state);
    if (status.state === 'running') this.suggest(next(`aiot pipeline cancel${at}`));
    else if (open) this.suggest(next(`aiot pipeline resume ${status.run}${at}`));
    else this.suggest(next(`aiot pipeline history${at}`));
    return status;
  }
}
