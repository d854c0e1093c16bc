import { Flags } from '@oclif/core';
import { jobStates, jobsSchema } from '../../lib/api/contract/jobs.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { jobsTable } from '../../lib/cli/render/platform.js';

export default class JobList extends PlatformCommand {
  static override summary = 'List jobs, newest first.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --state running --json',
  ];
  static override flags = {
    state: Flags.option({ options: jobStates })({ summary: 'Only jobs in this state.', env: 'AIOT_STATE' }),
    kind: Flags.string({
      summary: 'Only jobs of this kind, such as rollout.',
      env: 'AIOT_KIND',
      helpValue: 'KIND',
    }),
    limit: Flags.integer({
      summary: 'Maximum number of jobs.',
      env: 'AIOT_LIMIT',
      helpValue: 'N',
      min: 1,
      max: 1000,
      default: 50,
    }),
    context: shared.context,
  };
  static override result = jobsSchema.shape.jobs;

  async run() {
    const input = await this.input(JobList);
    const { state, kind, limit } = input.flags;
    return this.ask(
      input,
      (client) => client.jobs.list({ state, kind, limit }),
      jobsTable,
      (jobs) => {
        const open = jobs.find(({ ended }) => ended === null) ?? jobs[0];
        return open ? [`aiot job ${open.ended === null ? 'wait' : 'show'} ${open.id}`] : [];
      },
    );
  }
}
