import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { next } from '../../lib/cli/render/text.js';
import { firmwareTable } from '../../lib/cli/render/versions.js';
import { withClient } from '../../lib/registry/context.js';
import { firmwareListSchemas } from '../../lib/registry/firmware-api.js';

export default class FirmwareList extends AiotCommand {
  static override summary = 'List the firmware of the platform.';
  static override hiddenAliases = ['firmware'];
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --json',
  ];
  static override flags = { context: shared.context };
  static override result = firmwareListSchemas.firmware.shape.firmware;

  async run() {
    const input = await this.input(FirmwareList);
    const firmware = await withClient(input.flags.context, (client) => client.firmware.list());
    this.print(
      firmwareTable(
        firmware.map(({ latest }) => latest),
        'No firmware yet.',
      ),
    );
    const at = again(input, 'context');
    const [first] = firmware;
    this.print(next(first ? `aiot firmware show ${first.name}${at}` : `aiot firmware push IMAGE${at}`));
    return firmware;
  }
}
