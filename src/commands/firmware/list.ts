import { firmwareListSchemas } from '../../lib/api/contract/releases.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { firmwareTable } from '../../lib/cli/render/versions.js';

export default class FirmwareList extends PlatformCommand {
  static override summary = 'List the firmware on the platform.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --json',
  ];
  static override flags = { context: shared.context };
  static override result = firmwareListSchemas.firmware.shape.firmware;

  async run() {
    return this.ask(
      await this.input(FirmwareList),
      ({ firmware }) => firmware.list(),
      (firmware) =>
        firmwareTable(
          firmware.map(({ latest }) => latest),
          'No firmware yet.',
        ),
      ([first]) => [first ? `aiot firmware show ${first.name}` : 'aiot firmware push IMAGE'],
    );
  }
}
