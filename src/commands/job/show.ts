import { Args } from '@oclif/core';
import { jobSchema } from '../../lib/api/contract/jobs.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { jobText } from '../../lib/cli/render/platform.js';

export default class JobShow extends PlatformCommand {
  static override summary = "Show a job's progress and result.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> job_01k2',
    '<%= config.bin %> <%= command.id %> job_01k2 --json',
  ];
  static override args = { id: Args.string({ required: true, description: 'Job ID.' }) };
  static override flags = { context: shared.context };
  static override result = jobSchema;

  async run() {
    const input = await this.input(JobShow);
    return this.ask(
      input,
      ({ jobs }) => jobs.get(input.args.id),
      jobText,
      ({ id, ended }) => [
        ended === null ? `aiot job wait ${id}` : `aiot events tail --subject ${id} --from 0`,
      ],
    );
  }
}
