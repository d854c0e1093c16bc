import { AiotCommand, again, firmwareTable, next, shared } from '../../lib/cli/index.js';
import { firmwareListSchemas, withClient } from '../../lib/registry/index.js';

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
