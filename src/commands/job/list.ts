import { Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { jobsTable } from '../../lib/cli/render/platform.js';
import { next } from '../../lib/cli/render/text.js';
import { withClient } from '../../lib/registry/context.js';
import { jobStates, jobsSchema } from '../../lib/registry/jobs/api.js';

export default class JobList extends AiotCommand {
  static override summary =
    'List the jobs of the platform: rollouts, exports and what other programs do, newest first.';
  static override hiddenAliases = ['job'];
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --state running --json',
  ];
  static override flags = {
    state: Flags.option({ options: jobStates })({ summary: 'These alone.', env: 'AIOT_STATE' }),
    kind: Flags.string({
      summary: 'Of this kind alone, such as rollout.',
      env: 'AIOT_KIND',
      helpValue: 'KIND',
    }),
    limit: Flags.integer({
      summary: 'So many of the newest.',
      env: 'AIOT_LIMIT',
      min: 1,
      max: 1000,
      default: 50,
    }),
    context: shared.context,
  };
  static override result = jobsSchema.shape.jobs;

  async run() {
    const input = await this.input(JobList);
    const { state, kind, limit, context } = input.flags;
    const at = again(input, 'context');
    const jobs = await withClient(context, (client) => client.jobs.list({ state, kind, limit }));
    this.print(jobsTable(jobs));
    const open = jobs.find(({ ended }) => ended === null) ?? jobs[0];
    if (open)
      this.print(
        next(open.ended === null ? `aiot job wait ${open.id}${at}` : `aiot job show ${open.id}${at}`),
      );
    return jobs;
  }
}
