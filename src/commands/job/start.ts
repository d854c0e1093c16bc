import { Args, Flags } from '@oclif/core';
import { jobSchema } from '../../lib/api/contract/jobs.js';
import { startJob } from '../../lib/api/streams.js';
import { jobRequest } from '../../lib/cli/flags/platform.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { jobNews, jobText } from '../../lib/cli/render/platform.js';

export default class JobStart extends PlatformCommand {
  static override summary = 'Start a platform job: an export or a cleanup.';
  static override description =
    "Kinds:\n- dataset.export: writes samples to a blob, which is kept for one day.\n- data.retention: removes recordings according to the retention policies.\n- blob.sweep: removes unreferenced blobs.\n- events.prune: deletes expired events.\n\nThe result of an export contains its blob's digest: download the blob with GET /api/v1/blobs/DIGEST. To write samples directly to a file, use aiot data export. With --wait, exits with 1 if the job failed or was canceled.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> blob.sweep --wait',
    '<%= config.bin %> <%= command.id %> dataset.export --request \'{"stream":"imu","format":"parquet"}\' --wait --json',
  ];
  static override args = {
    kind: Args.string({
      required: true,
      description: 'Kind of job: dataset.export, data.retention, blob.sweep or events.prune.',
    }),
  };
  static override flags = {
    request: jobRequest({
      summary:
        'Job settings as a JSON object. dataset.export: stream (required), format, device, recording, label, from, to. data.retention: stream.',
      env: 'AIOT_REQUEST',
      helpValue: 'JSON',
    }),
    wait: Flags.boolean({ summary: 'Wait until the job finishes.', env: 'AIOT_WAIT' }),
    timeout: {
      ...shared.timeout,
      summary: 'With --wait: exit with 124 after this time, such as 10m; the job continues.',
    },
    context: shared.context,
  };
  static override result = jobSchema;

  async run() {
    const input = await this.input(JobStart);
    const { request = {}, wait, timeout: timeoutMs } = input.flags;
    const told = this.stages();
    const job = await this.ask(
      input,
      (client) =>
        startJob(client, {
          ...{ kind: input.args.kind, request, wait, timeoutMs, signal: this.signal },
          onProgress: (job) => told(jobNews(job)),
        }),
      jobText,
      ({ id, ended }) => [`aiot job ${ended === null ? 'wait' : 'show'} ${id}`],
    );
    if (job.state === 'failed' || job.state === 'cancelled') this.exitsWith(1);
    return job;
  }
}
