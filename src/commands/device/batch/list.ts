import * as z from 'zod';
import { batchSchema } from '../../../lib/api/contract/batches.js';
import { shared } from '../../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../../lib/cli/platform-command.js';
import { batchesText } from '../../../lib/cli/render/batches.js';

export default class DeviceBatchList extends PlatformCommand {
  static override summary = 'List batches with the number of waiting devices.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --json',
  ];
  static override flags = { context: shared.context };
  static override result = z.array(batchSchema);

  async run() {
    return this.ask(
      await this.input(DeviceBatchList),
      ({ batches }) => batches.list(),
      (all) => batchesText(all),
      ([first]) => [
        first ? `aiot device batch show ${first.name}` : 'aiot device batch create NAME --out FILE',
        'aiot device waiting list',
      ],
    );
  }
}
