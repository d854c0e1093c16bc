import { rolloutId } from '../../lib/cli/flags/rollouts.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { RolloutChangeCommand } from '../../lib/cli/rollout-change.js';
import { rolloutSchema } from '../../lib/registry/rollouts/schema.js';

export default class OtaRetry extends RolloutChangeCommand {
  static override summary = 'Offer it again to the devices that did not take it.';
  static override description =
    'Those that failed, rolled back or were missed; also of a rollout that has ended.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> ro_01k2',
    '<%= config.bin %> <%= command.id %> ro_01k2 --json',
  ];
  static override args = rolloutId;
  static override flags = { context: shared.context };
  static override result = rolloutSchema;

  async run() {
    return this.change(await this.input(OtaRetry), 'retry', 'watch');
  }
}
