import { settingsAppliedSchema } from '../../../lib/api/contract/settings.js';
import { shared } from '../../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../../lib/cli/platform-command.js';
import { settingsAppliedText } from '../../../lib/cli/render/fleet.js';
import { applyProjectSettings } from '../../../lib/project/commands.js';

export default class DeviceSettingsApply extends PlatformCommand {
  static override summary = "Apply the settings in a project's aiot.yaml.";
  static override description =
    "Creates, changes and removes the project's settings so that they match those under settings: in the file. Overrides for groups and devices are kept, and must be valid under the new schemas. Settings of other projects are not changed. aiot up --project applies them too.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> --project pump --dry-run',
    '<%= config.bin %> <%= command.id %> --project pump --json',
  ];
  static override flags = {
    project: shared.project,
    'dry-run': shared['dry-run'],
    context: shared.context,
  };
  static override result = settingsAppliedSchema;

  async run() {
    const input = await this.input(DeviceSettingsApply);
    const { project, 'dry-run': dryRun } = input.flags;
    return this.ask(
      input,
      (client) => applyProjectSettings(client, { project, dryRun }),
      settingsAppliedText,
      () => ['aiot device settings show'],
    );
  }
}
