import { Flags } from '@oclif/core';
import { statusSchema } from '../lib/api/api.js';
import { attentionSchema } from '../lib/api/contract/attention.js';
import { shared } from '../lib/cli/flags/shared.js';
import { PlatformCommand, type PlatformInput } from '../lib/cli/platform-command.js';
import { afterAttention, attentionText, statusText } from '../lib/cli/render/platform.js';

export default class Status extends PlatformCommand {
  static override summary = "Show the current platform's status.";
  static override description =
    'Shows listeners, engines, counts, disk space and warnings. Exits with 6 if the platform cannot serve requests, for example because its database is unreachable. With --attention, lists the devices that need attention instead, most urgent first: each problem, its start and the next step.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --context lab --json',
    '<%= config.bin %> <%= command.id %> --attention',
  ];
  static override flags = {
    attention: Flags.boolean({
      summary: 'List the devices that need attention, with causes and next steps.',
      env: 'AIOT_ATTENTION',
    }),
    all: Flags.boolean({
      summary: 'With --attention: include devices that are acknowledged or snoozed.',
      env: 'AIOT_ALL',
      dependsOn: ['attention'],
    }),
    limit: Flags.integer({
      summary: 'With --attention: maximum number of devices.',
      default: 100,
      min: 1,
      max: 1000,
      env: 'AIOT_LIMIT',
      helpValue: 'N',
    }),
    context: shared.context,
  };
  static override result = statusSchema.or(attentionSchema);

  async run() {
    const input = await this.input(Status);
    const { attention, all, limit } = input.flags;
    return attention ? this.attention(input, { all, limit }) : this.status(input);
  }

  private attention(input: PlatformInput, query: { all: boolean; limit: number }) {
    return this.ask(
      input,
      (client) => client.attention.list(query),
      (found) => attentionText(found),
      afterAttention,
    );
  }

  private async status(input: PlatformInput) {
    const status = await this.ask(
      input,
      (client) => client.status(),
      statusText,
      () => ['aiot device list', 'aiot model list'],
    );
    if (!status.ready) this.exitsWith(6);
    return status;
  }
}
