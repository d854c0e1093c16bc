import { Args } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { deviceReplyText } from '../../lib/cli/render/fleet.js';
import { withClient } from '../../lib/registry/context.js';
import { deviceCommandSchema, deviceReplySchema } from '../../lib/registry/talk-api.js';

export default class DeviceCommandCommand extends AiotCommand {
  static override summary = 'Send a command to a device that is online, and show its answer.';
  static override description =
    'ping asks for its time, status for what it runs, reboot restarts it from its flash. It waits ten seconds for the answer.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> bench-1 ping',
    '<%= config.bin %> <%= command.id %> bench-1 status --json',
  ];
  static override args = {
    name: Args.string({ required: true, description: 'Name of the device.' }),
    command: Args.string({
      required: true,
      options: deviceCommandSchema.shape.command.options,
      description: 'What it is to do.',
    }),
  };
  static override flags = { context: shared.context };
  static override result = deviceReplySchema;

  async run() {
    const { args, flags } = await this.input(DeviceCommandCommand);
    const command = deviceCommandSchema.shape.command.parse(args.command);
    const reply = await withClient(flags.context, ({ devices }) => devices.command(args.name, command));
    this.print(deviceReplyText(reply));
    return reply;
  }
}
