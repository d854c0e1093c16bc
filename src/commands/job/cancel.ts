import { Args } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { jobText } from '../../lib/cli/render/platform.js';
import { next } from '../../lib/cli/render/text.js';
import { withClient } from '../../lib/registry/context.js';
import { jobSchema } from '../../lib/registry/jobs/api.js';

export default class JobCancel extends AiotCommand {
  static override summary = 'Say that a job is to end; aiot job wait tells when it has.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> job_01k2',
    '<%= config.bin %> <%= command.id %> job_01k2 --json',
  ];
  static override args = { id: Args.string({ required: true, description: 'Id of the job.' }) };
  static override flags = { context: shared.context };
  static override result = jobSchema;

  async run() {
    const input = await this.input(JobCancel);
    const { args, flags } = input;
    const job = await withClient(flags.context, (client) => client.jobs.cancel(args.id));
    this.print(jobText(job));
    this.print(next(`aiot job wait ${job.id}${again(input, 'context')}`));
    return job;
  }
}
