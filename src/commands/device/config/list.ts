import { AiotCommand } from '../../../lib/cli/command.js';
import { shared } from '../../../lib/cli/flags/shared.js';
import { again } from '../../../lib/cli/invocation.js';
import { next } from '../../../lib/cli/render/text.js';
import { configTable } from '../../../lib/cli/render/versions.js';
import { configListSchemas } from '../../../lib/registry/config-api.js';
import { withClient } from '../../../lib/registry/context.js';

export default class DeviceConfigList extends AiotCommand {
  static override summary = 'List the configurations of devices that the platform has.';
  static override hiddenAliases = ['device:config'];
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --json',
  ];
  static override flags = { context: shared.context };
  static override result = configListSchemas.configs.shape.configs;

  async run() {
    const input = await this.input(DeviceConfigList);
    const configs = await withClient(input.flags.context, (client) => client.configs.list());
    this.print(
      configTable(
        configs.map(({ latest }) => latest),
        'No configuration yet.',
      ),
    );
    const at = again(input, 'context');
    const [first] = configs;
    this.print(
      next(
        first
          ? `aiot device config show ${first.name}${at}`
          : `aiot device config push FILE --name NAME${at}`,
      ),
    );
    return configs;
  }
}
