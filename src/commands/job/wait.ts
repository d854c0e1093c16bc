import { Args } from '@oclif/core';
import { jobSchema } from '../../lib/api/contract/jobs.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { jobNews, jobText } from '../../lib/cli/render/platform.js';

export default class JobWait extends PlatformCommand {
  static override summary = 'Wait for a job to finish and show its progress.';
  static override description =
    'Keeps waiting across a platform restart. Exits with 1 if the job failed or was canceled. Exits with 124 after --timeout; the job continues.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> job_01k2',
    '<%= config.bin %> <%= command.id %> job_01k2 --timeout 10m --json',
  ];
  static override args = { id: Args.string({ required: true, description: 'Job ID.' }) };
  static override flags = { timeout: shared.timeout, context: shared.context };
  static override result = jobSchema;

  async run() {
    const input = await this.input(JobWait);
    const told = this.stages();
    const job = await this.ask(
      input,
      (client) =>
        client.jobs.wait(input.args.id, {
          ...{ timeoutMs: input.flags.timeout, signal: this.signal },
          onProgress: (job) => told(jobNews(job)),
        }),
      jobText,
      ({ id }) => [`aiot job show ${id}`],
    );
    if (job.state !== 'done') this.exitsWith(1);
    return job;
  }
}
