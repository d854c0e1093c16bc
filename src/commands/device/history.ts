import { Args, Flags } from '@oclif/core';
import { deviceHistorySchema } from '../../lib/api/contract/devices.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { deviceHistoryText } from '../../lib/cli/render/fleet.js';

export default class DeviceHistory extends PlatformCommand {
  static override summary = "Show a device's history: changes, times and authors.";
  static override description =
    'Newest first: its states, certificates, tags and groups, assigned releases and reports. Removed devices keep their history.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> motor-1',
    '<%= config.bin %> <%= command.id %> motor-1 --limit 1000 --json',
  ];
  static override args = { name: Args.string({ required: true, description: 'Device name.' }) };
  static override flags = {
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
  static override result = deviceHistorySchema.shape.entries;

  async run() {
    const input = await this.input(DeviceHistory);
    const { name } = input.args;
    return this.ask(
      input,
      ({ devices }) => devices.history(name, input.flags.limit),
      deviceHistoryText,
      () => [`aiot device show ${name}`],
    );
  }
}
