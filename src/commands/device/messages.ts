import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { duration, shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { deviceMessagesText } from '../../lib/cli/render/fleet.js';
import { next } from '../../lib/cli/render/text.js';
import { withClient } from '../../lib/registry/context.js';
import { deviceChannels, deviceMessagesSchema } from '../../lib/registry/talk-api.js';

export default class DeviceMessages extends AiotCommand {
  static override summary = 'Show what a device said last: its log, its answers, its telemetry.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> bench-1',
    '<%= config.bin %> <%= command.id %> bench-1 --channel inference --since 10m --json',
  ];
  static override args = { name: Args.string({ required: true, description: 'Name of the device.' }) };
  static override flags = {
    channel: Flags.option({
      summary: 'What is shown: its log, the answers of its model, its telemetry, its replies to commands.',
      options: deviceChannels,
      default: 'log' as const,
      env: 'AIOT_CHANNEL',
    })(),
    since: duration({
      summary: 'Of this time until now, such as 10m or 24h.',
      default: 3600_000,
      env: 'AIOT_SINCE',
    }),
    limit: Flags.integer({ summary: 'At most so many.', default: 50, min: 1, max: 1000, env: 'AIOT_LIMIT' }),
    context: shared.context,
  };
  static override result = deviceMessagesSchema.shape.messages;

  async run() {
    const input = await this.input(DeviceMessages);
    const { args, flags } = input;
    const { channel, limit } = flags;
    const since = Date.now() - flags.since;
    const messages = await withClient(flags.context, ({ devices }) =>
      devices.messages(args.name, { channel, since, limit }),
    );
    this.print(deviceMessagesText(channel, messages));
    this.print(next(`aiot device show ${args.name}${again(input, 'context')}`));
    return messages;
  }
}
