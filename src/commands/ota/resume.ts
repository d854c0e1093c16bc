import { rolloutId } from '../../lib/cli/flags/rollouts.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { RolloutChangeCommand } from '../../lib/cli/rollout-change.js';
import { rolloutSchema } from '../../lib/registry/rollouts/schema.js';

export default class OtaResume extends RolloutChangeCommand {
  static override summary = 'Go on with a paused rollout.';
  static override description =
    'Failures until now are taken as seen: only further ones count against the limits of their wave.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> ro_01k2',
    '<%= config.bin %> <%= command.id %> ro_01k2 --json',
  ];
  static override args = rolloutId;
  static override flags = { context: shared.context };
  static override result = rolloutSchema;

  async run() {
    return this.change(await this.input(OtaResume), 'resume', 'watch');
  }
}
