import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { deviceHistoryText } from '../../lib/cli/render/fleet.js';
import { next } from '../../lib/cli/render/text.js';
import { withClient } from '../../lib/registry/context.js';
import { deviceHistorySchema } from '../../lib/registry/fleet-api.js';

export default class DeviceHistory extends AiotCommand {
  static override summary = 'Show what was changed of a device, when and by whom.';
  static override description =
    'Newest first: its states, certificates, tags and groups, what it was told to run, and what it reported. A device that was removed has its history too.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> motor-1',
    '<%= config.bin %> <%= command.id %> motor-1 --limit 1000 --json',
  ];
  static override args = { name: Args.string({ required: true, description: 'Name of the device.' }) };
  static override flags = {
    limit: Flags.integer({ summary: 'At most so many.', default: 50, min: 1, max: 1000, env: 'AIOT_LIMIT' }),
    context: shared.context,
  };
  static override result = deviceHistorySchema.shape.entries;

  async run() {
    const input = await this.input(DeviceHistory);
    const { args, flags } = input;
    const entries = await withClient(flags.context, ({ devices }) => devices.history(args.name, flags.limit));
    this.print(deviceHistoryText(entries));
    this.print(next(`aiot device show ${args.name}${again(input, 'context')}`));
    return entries;
  }
}
