import { commandsAppliedSchema } from '../../../lib/api/contract/commands.js';
import { shared } from '../../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../../lib/cli/platform-command.js';
import { commandsAppliedText } from '../../../lib/cli/render/fleet.js';
import { applyProjectCommands } from '../../../lib/project/commands.js';

export default class DeviceCommandsApply extends PlatformCommand {
  static override summary = "Apply the commands in a project's aiot.yaml.";
  static override description =
    "Creates, changes and removes the project's commands so that they match those under commands: in the file. Commands of other projects are not changed. aiot up --project applies them too.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> --project pump --dry-run',
    '<%= config.bin %> <%= command.id %> --project pump --json',
  ];
  static override flags = {
    project: shared.project,
    'dry-run': shared['dry-run'],
    context: shared.context,
  };
  static override result = commandsAppliedSchema;

  async run() {
    const input = await this.input(DeviceCommandsApply);
    const { project, 'dry-run': dryRun } = input.flags;
    return this.ask(
      input,
      (client) => applyProjectCommands(client, { project, dryRun }),
      commandsAppliedText,
      () => ['aiot device commands list'],
    );
  }
}
