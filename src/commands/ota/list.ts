import * as z from 'zod';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { rolloutsTable } from '../../lib/cli/render/rollout.js';
import { next } from '../../lib/cli/render/text.js';
import { withClient } from '../../lib/registry/context.js';
import { rolloutSchema } from '../../lib/registry/rollouts/schema.js';

export default class OtaList extends AiotCommand {
  static override summary = 'List rollouts, newest first.';
  static override hiddenAliases = ['ota'];
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --json',
  ];
  static override flags = { context: shared.context };
  static override result = z.array(rolloutSchema);

  async run() {
    const input = await this.input(OtaList);
    const rollouts = await withClient(input.flags.context, (client) => client.rollouts.list());
    this.print(rolloutsTable(rollouts));
    const [newest] = rollouts;
    if (newest) this.print(next(`aiot ota status ${newest.id}${again(input, 'context')}`));
    return rollouts;
  }
}
