import { rolloutId } from '../../lib/cli/flags/rollouts.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { RolloutChangeCommand } from '../../lib/cli/rollout-change.js';
import { rolloutSchema } from '../../lib/registry/rollouts/schema.js';

export default class OtaApprove extends RolloutChangeCommand {
  static override summary = 'Let a rollout begin that somebody else has started.';
  static override description =
    'Of rollouts that were started with --approval. Whoever started it cannot approve it.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> ro_01k2',
    '<%= config.bin %> <%= command.id %> ro_01k2 --json',
  ];
  static override args = rolloutId;
  static override flags = { context: shared.context };
  static override result = rolloutSchema;

  async run() {
    return this.change(await this.input(OtaApprove), 'approve', 'watch');
  }
}
