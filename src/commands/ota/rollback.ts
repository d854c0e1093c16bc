import { rolloutId } from '../../lib/cli/flags/rollouts.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { RolloutChangeCommand } from '../../lib/cli/rollout-change.js';
import { rolloutSchema } from '../../lib/registry/rollouts/schema.js';

export default class OtaRollback extends RolloutChangeCommand {
  static override summary = 'Have all devices of a rollout go back to the release before.';
  static override description =
    'To what --rollback-to named when it was started; who has not begun does not begin.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> ro_01k2',
    '<%= config.bin %> <%= command.id %> ro_01k2 --json',
  ];
  static override args = rolloutId;
  static override flags = { context: shared.context };
  static override result = rolloutSchema;

  async run() {
    return this.change(await this.input(OtaRollback), 'rollback', 'watch');
  }
}
