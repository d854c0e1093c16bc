import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { jobRequest } from '../../lib/cli/flags/platform.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { jobNews, jobText } from '../../lib/cli/render/platform.js';
import { next } from '../../lib/cli/render/text.js';
import { withClient } from '../../lib/registry/context.js';
import { jobSchema } from '../../lib/registry/jobs/api.js';
import { startJob } from '../../lib/registry/jobs/start.js';

export default class JobStart extends AiotCommand {
  static override summary = 'Have the platform do something that takes long: an export, a clean-up.';
  static override description =
    'KIND is dataset.export, data.retention, blob.sweep or events.prune; an unknown one is answered with the list. An export’s result names the blob that it is in, which is kept for a day. With --wait, exits with 1 when it failed.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> blob.sweep --wait',
    '<%= config.bin %> <%= command.id %> dataset.export --request \'{"stream":"imu","format":"parquet"}\' --wait --json',
  ];
  static override args = { kind: Args.string({ required: true, description: 'What to do.' }) };
  static override flags = {
    request: jobRequest({
      summary: 'What it is asked for, as JSON.',
      env: 'AIOT_REQUEST',
      helpValue: 'JSON',
    }),
    wait: Flags.boolean({ summary: 'Wait until it has ended.', env: 'AIOT_WAIT' }),
    timeout: shared.timeout,
    context: shared.context,
  };
  static override result = jobSchema;

  async run() {
    const input = await this.input(JobStart);
    const { args, flags } = input;
    const { request = {}, wait, timeout: timeoutMs } = flags;
    const told = this.stages();
    const job = await withClient(flags.context, (client) =>
      startJob(client, {
        ...{ kind: args.kind, request, wait, timeoutMs, signal: this.signal },
        onProgress: (job) => told(jobNews(job)),
      }),
    );
    if (job.state === 'failed' || job.state === 'cancelled') this.exitsWith(1);
    this.print(jobText(job));
    this.print(next(`aiot job ${job.ended === null ? 'wait' : 'show'} ${job.id}${again(input, 'context')}`));
    return job;
  }
}
