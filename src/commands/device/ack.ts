import { Args, Flags } from '@oclif/core';
import { deviceHealthSchema } from '../../lib/api/contract/attention.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { deviceHealthText } from '../../lib/cli/render/platform.js';

export default class DeviceAck extends PlatformCommand {
  static override summary = "Acknowledge a device's problems.";
  static override description =
    'Hides the device until it has a new problem, or until a problem returns after it has recovered. The acknowledgment and its note are in the audit log. With --undo, the device is listed again; this also ends a snooze.';
  static override examples = [
    "<%= config.bin %> <%= command.id %> pump-7 --note 'new battery ordered'",
    '<%= config.bin %> <%= command.id %> pump-7 --undo',
  ];
  static override args = { name: Args.string({ required: true, description: 'Device name.' }) };
  static override flags = {
    note: Flags.string({
      summary: 'Note for other operators, such as what was done.',
      env: 'AIOT_NOTE',
      helpValue: 'TEXT',
    }),
    undo: Flags.boolean({
      summary: 'End the acknowledgment or the snooze.',
      env: 'AIOT_UNDO',
      exclusive: ['note'],
    }),
    context: shared.context,
  };
  static override result = deviceHealthSchema;

  async run() {
    const input = await this.input(DeviceAck);
    const { name } = input.args;
    const { note, undo } = input.flags;
    const request = undo
      ? { action: 'reopen' as const }
      : { action: 'acknowledge' as const, ...(note === undefined ? {} : { note }) };
    return this.ask(
      input,
      ({ attention }) => attention.change(name, request),
      deviceHealthText,
      () => ['aiot status --attention'],
    );
  }
}
