import * as z from 'zod';
import { rolloutSchema } from '../../lib/api/rollouts/schema.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { rolloutsTable } from '../../lib/cli/render/rollout.js';

export default class RolloutList extends PlatformCommand {
  static override summary = 'List rollouts, newest first.';
  static override hiddenAliases = ['ota:list'];
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --json',
  ];
  static override flags = { context: shared.context };
  static override result = z.array(rolloutSchema);

  async run() {
    return this.ask(
      await this.input(RolloutList),
      ({ rollouts }) => rollouts.list(),
      rolloutsTable,
      ([newest]) => (newest ? [`aiot rollout show ${newest.id}`] : []),
    );
  }
}
