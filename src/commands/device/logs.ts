import { Args, Flags } from '@oclif/core';
import { deviceMessagesSchema } from '../../lib/api/contract/devices.js';
import { duration, shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { deviceMessagesText } from '../../lib/cli/render/fleet.js';

export default class DeviceLogs extends PlatformCommand {
  static override summary = "Show a device's latest log lines.";
  static override description =
    'With --channel, shows model predictions or replies to commands instead. These are the latest stored messages of one device. To follow new messages, of several devices too, or to see telemetry, use aiot stream tail.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> bench-1',
    '<%= config.bin %> <%= command.id %> bench-1 --channel inference --since 10m --json',
  ];
  static override args = { name: Args.string({ required: true, description: 'Device name.' }) };
  static override flags = {
    channel: Flags.option({
      summary: 'Messages to show: log lines, model predictions, or replies to commands.',
      options: ['log', 'inference', 'reply'] as const,
      default: 'log' as const,
      env: 'AIOT_CHANNEL',
    })(),
    since: duration({
      summary: 'Maximum age of the messages to show, such as 10m or 24h.',
      default: 3600_000,
      env: 'AIOT_SINCE',
    }),
    limit: Flags.integer({
      summary: 'Maximum number of entries.',
      default: 50,
      min: 1,
      max: 1000,
      env: 'AIOT_LIMIT',
      helpValue: 'N',
    }),
    context: shared.context,
  };
  static override result = deviceMessagesSchema.shape.messages;

  async run() {
    const input = await this.input(DeviceLogs);
    const { name } = input.args;
    const { channel, limit } = input.flags;
    const since = Date.now() - input.flags.since;
    return this.ask(
      input,
      ({ devices }) => devices.messages(name, { channel, since, limit }),
      (messages) => deviceMessagesText(channel, messages),
      () => [`aiot device show ${name}`],
    );
  }
}
