import { withClient } from '../../lib/api/context.js';
import { datasetsSchema } from '../../lib/api/contract/data.js';
import { AiotCommand } from '../../lib/cli/command.js';
import { pageFlags, shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { streamsTable } from '../../lib/cli/render/datasets.js';
import { simulateCommand } from '../../lib/cli/render/provisioned.js';
import { next } from '../../lib/cli/render/text.js';
import { suitableSource } from '../../lib/device/telemetry/sensor.js';

export default class DataStreams extends AiotCommand {
  static override summary = "List the platform's telemetry streams.";
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --limit 20 --json',
  ];
  static override flags = { ...pageFlags, context: shared.context };
  static override result = datasetsSchema;

  async run() {
    const input = await this.input(DataStreams);
    const { limit, after, context } = input.flags;
    const at = again(input, 'context');
    const query = { limit, ...(after === undefined ? {} : { after }) };
    const page = await withClient(context, (client) => client.datasets.page(query));
    this.print(streamsTable(page.datasets));
    const [first] = page.datasets;
    const more = page.next === null ? [] : [`aiot data streams --after ${page.next}${at}`];
    this.suggest(
      next(
        ...more,
        first ? `aiot data list ${first.name}${at}` : simulateCommand('DEVICE', await suitableSource()),
      ),
    );
    return page;
  }
}
