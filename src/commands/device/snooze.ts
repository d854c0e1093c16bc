import { Args, Flags } from '@oclif/core';
import { deviceHealthSchema, longestSnoozeMs } from '../../lib/api/contract/attention.js';
import { duration, shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { deviceHealthText } from '../../lib/cli/render/platform.js';

export default class DeviceSnooze extends PlatformCommand {
  static override summary = "Hide a device's problems for a while.";
  static override description =
    'aiot status --attention does not list the device until this time has elapsed, even if the device develops other problems. The snooze and its note are in the audit log. To end it earlier, run aiot device ack NAME --undo.';
  static override examples = [
    "<%= config.bin %> <%= command.id %> pump-7 --for 4h --note 'maintenance in hall 2'",
    '<%= config.bin %> <%= command.id %> pump-7 --for 2d --json',
  ];
  static override args = { name: Args.string({ required: true, description: 'Device name.' }) };
  static override flags = {
    for: duration({
      summary: 'Duration of the snooze, at most 90d.',
      env: 'AIOT_FOR',
      default: 4 * 3600_000,
      min: 1000,
      max: longestSnoozeMs,
    }),
    note: Flags.string({
      summary: 'Note for other operators, such as the reason.',
      env: 'AIOT_NOTE',
      helpValue: 'TEXT',
    }),
    context: shared.context,
  };
  static override result = deviceHealthSchema;

  async run() {
    const input = await this.input(DeviceSnooze);
    const { for: forMs, note } = input.flags;
    const request = { action: 'snooze' as const, forMs, ...(note === undefined ? {} : { note }) };
    return this.ask(
      input,
      ({ attention }) => attention.change(input.args.name, request),
      deviceHealthText,
      () => ['aiot status --attention'],
    );
  }
}
