import { Args } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { jobNews, jobText } from '../../lib/cli/render/platform.js';
import { next } from '../../lib/cli/render/text.js';
import { withClient } from '../../lib/registry/context.js';
import { jobSchema } from '../../lib/registry/jobs/api.js';

export default class JobWait extends AiotCommand {
  static override summary = 'Wait until a job has ended, and show how far it is meanwhile.';
  static override description =
    'Goes on over a restart of the platform. Exits with 1 when the job failed or was cancelled, with 124 when --timeout is over: the job goes on then.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> job_01k2',
    '<%= config.bin %> <%= command.id %> job_01k2 --timeout 10m --json',
  ];
  static override args = { id: Args.string({ required: true, description: 'Id of the job.' }) };
  static override flags = { timeout: shared.timeout, context: shared.context };
  static override result = jobSchema;

  async run() {
    const input = await this.input(JobWait);
    const { args, flags } = input;
    const told = this.stages();
    const job = await withClient(flags.context, (client) =>
      client.jobs.wait(args.id, {
        ...{ timeoutMs: flags.timeout, signal: this.signal },
        onProgress: (job) => told(jobNews(job)),
      }),
    );
    if (job.state !== 'done') this.exitsWith(1);
    this.print(jobText(job));
    this.print(next(`aiot job show ${job.id}${again(input, 'context')}`));
    return job;
  }
}
