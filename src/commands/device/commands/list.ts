import { Args } from '@oclif/core';
import { commandsSchema } from '../../../lib/api/contract/commands.js';
import { shared } from '../../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../../lib/cli/platform-command.js';
import { commandsTable } from '../../../lib/cli/render/fleet.js';

export default class DeviceCommandsList extends PlatformCommand {
  static override summary = 'List the commands of a device, or of all types.';
  static override description =
    'With --json, the list includes the JSON Schemas of the parameters and of the reply.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> pump-7',
    '<%= config.bin %> <%= command.id %> pump-7 --json',
  ];
  static override args = {
    name: Args.string({ description: 'Device name [default: the commands that projects define].' }),
  };
  static override flags = { context: shared.context };
  static override result = commandsSchema.shape.commands;

  async run() {
    const input = await this.input(DeviceCommandsList);
    const { name } = input.args;
    return this.ask(
      input,
      ({ commands }) => (name === undefined ? commands.list() : commands.of(name)),
      commandsTable,
      () => [],
    );
  }
}
