import { RolloutChangeCommand } from '../../lib/cli/rollout-change.js';

export default class RolloutResume extends RolloutChangeCommand {
  static override summary = 'Resume a paused rollout.';
  static override description =
    "Failures so far are accepted; only later ones count against their wave's limits.";

  static override hiddenAliases = ['ota:resume'];
  protected readonly change = 'resume';
  protected readonly nextCommand = 'watch';
}
