import { configListSchemas } from '../../../lib/api/contract/releases.js';
import { shared } from '../../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../../lib/cli/platform-command.js';
import { configTable } from '../../../lib/cli/render/versions.js';

export default class DeviceConfigList extends PlatformCommand {
  static override summary = 'List the device configurations on the platform.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --json',
  ];
  static override flags = { context: shared.context };
  static override result = configListSchemas.configs.shape.configs;

  async run() {
    return this.ask(
      await this.input(DeviceConfigList),
      ({ configs }) => configs.list(),
      (configs) =>
        configTable(
          configs.map(({ latest }) => latest),
          'No configurations yet.',
        ),
      ([first]) => [
        first ? `aiot device config show ${first.name}` : 'aiot device config push FILE --name NAME',
      ],
    );
  }
}
