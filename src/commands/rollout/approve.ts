import { RolloutChangeCommand } from '../../lib/cli/rollout-change.js';

export default class RolloutApprove extends RolloutChangeCommand {
  static override summary = 'Approve a rollout that someone else started.';
  static override description =
    'Applies to rollouts started with --approval. The person who started a rollout cannot approve it.';

  static override hiddenAliases = ['ota:approve'];
  protected readonly change = 'approve';
  protected readonly nextCommand = 'watch';
}
