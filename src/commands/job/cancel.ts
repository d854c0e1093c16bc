import { Args } from '@oclif/core';
import { jobSchema } from '../../lib/api/contract/jobs.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { jobText } from '../../lib/cli/render/platform.js';

export default class JobCancel extends PlatformCommand {
  static override summary = 'Request cancellation of a job.';
  static override description = 'To wait until it has stopped, use aiot job wait.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> job_01k2',
    '<%= config.bin %> <%= command.id %> job_01k2 --json',
  ];
  static override args = { id: Args.string({ required: true, description: 'Job ID.' }) };
  static override flags = { context: shared.context };
  static override result = jobSchema;

  async run() {
    const input = await this.input(JobCancel);
    return this.ask(
      input,
      ({ jobs }) => jobs.cancel(input.args.id),
      jobText,
      ({ id }) => [`aiot job wait ${id}`],
    );
  }
}
