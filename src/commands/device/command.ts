import { Args } from '@oclif/core';
import { deviceCommandSchema, deviceReplySchema } from '../../lib/api/contract/devices.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { deviceReplyText } from '../../lib/cli/render/fleet.js';

export default class DeviceCommandCommand extends PlatformCommand {
  static override summary = 'Send a command to an online device and show its reply.';
  static override description =
    "ping reads the device's clock, status shows its versions and memory, and reboot restarts it. crash makes a virtual device crash, so that you can try out crash reports; boards reject it. The command waits ten seconds for the reply.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> bench-1 ping',
    '<%= config.bin %> <%= command.id %> bench-1 status --json',
  ];
  static override args = {
    name: Args.string({ required: true, description: 'Device name.' }),
    command: Args.string({
      required: true,
      options: deviceCommandSchema.shape.command.options,
      description: 'Command to send.',
    }),
  };
  static override flags = { context: shared.context };
  static override result = deviceReplySchema;

  async run() {
    const input = await this.input(DeviceCommandCommand);
    const command = deviceCommandSchema.shape.command.parse(input.args.command);
    return this.ask(
      input,
      ({ devices }) => devices.command(input.args.name, command),
      deviceReplyText,
      () => [],
    );
  }
}
