import { Args } from '@oclif/core';
import { acknowledgedSchema } from '../../lib/api/damage.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { damageTable } from '../../lib/cli/render/platform.js';

export default class PlatformAcknowledge extends PlatformCommand {
  static override summary = 'Acknowledge damage to stored data.';
  static override description =
    'aiot status warns of lost or altered data until you acknowledge it, even after a restart. Acknowledging does not restore data: check your backups.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> --dry-run',
    '<%= config.bin %> <%= command.id %> 8f14e45fceea',
  ];
  static override args = {
    id: Args.string({ description: 'ID of one finding, as shown by --dry-run [default: all].' }),
  };
  static override flags = { 'dry-run': shared['dry-run'], context: shared.context };
  static override result = acknowledgedSchema;

  async run() {
    const input = await this.input(PlatformAcknowledge);
    const { id } = input.args;
    return this.ask(
      input,
      async ({ damage }) => {
        if (!input.flags['dry-run']) return damage.acknowledge(id === undefined ? undefined : [id]);
        const open = (await damage.list()).filter(({ acknowledged }) => acknowledged === null);
        return { acknowledged: open.filter((each) => id === undefined || each.id === id) };
      },
      ({ acknowledged }) => damageTable(acknowledged),
      () => ['aiot status'],
    );
  }
}
