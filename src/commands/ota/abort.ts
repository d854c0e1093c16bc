import { rolloutId } from '../../lib/cli/flags/rollouts.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { RolloutChangeCommand } from '../../lib/cli/rollout-change.js';
import { rolloutSchema } from '../../lib/registry/rollouts/schema.js';

export default class OtaAbort extends RolloutChangeCommand {
  static override summary = 'End a rollout: who has not committed keeps what it runs.';
  static override description =
    'Devices that are downloading leave it; those that have committed stay with it (aiot ota rollback takes them back).';
  static override examples = [
    '<%= config.bin %> <%= command.id %> ro_01k2',
    '<%= config.bin %> <%= command.id %> ro_01k2 --json',
  ];
  static override args = rolloutId;
  static override flags = { context: shared.context };
  static override result = rolloutSchema;

  async run() {
    return this.change(await this.input(OtaAbort), 'abort', 'report');
  }
}
