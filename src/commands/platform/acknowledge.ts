import { Args } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { damageTable } from '../../lib/cli/render/platform.js';
import { next } from '../../lib/cli/render/text.js';
import { withClient } from '../../lib/registry/context.js';
import { acknowledgedSchema } from '../../lib/registry/damage.js';

export default class PlatformAcknowledge extends AiotCommand {
  static override summary = 'Acknowledge damage at rest that aiot status warns of.';
  static override description =
    'Status warns of lost or altered data until somebody acknowledges it, also after a restart. What was lost stays lost: a backup may have it.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> --dry-run',
    '<%= config.bin %> <%= command.id %> 8f14e45fceea',
  ];
  static override args = {
    id: Args.string({ description: 'One finding, by the id that --dry-run shows [default: all].' }),
  };
  static override flags = { 'dry-run': shared['dry-run'], context: shared.context };
  static override result = acknowledgedSchema;

  async run() {
    const input = await this.input(PlatformAcknowledge);
    const { args, flags } = input;
    const result = await withClient(flags.context, async (client) => {
      if (!flags['dry-run']) return client.damage.acknowledge(args.id === undefined ? undefined : [args.id]);
      const open = (await client.damage.list()).filter(({ acknowledged }) => acknowledged === null);
      return { acknowledged: open.filter(({ id }) => args.id === undefined || id === args.id) };
    });
    const { acknowledged } = result;
    this.print(damageTable(acknowledged));
    this.print(next(`aiot status${again(input, 'context')}`));
    return result;
  }
}
