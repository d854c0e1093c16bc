import { RolloutChangeCommand } from '../../lib/cli/rollout-change.js';

export default class RolloutRetry extends RolloutChangeCommand {
  static override summary = 'Offer the release again to the failed devices.';
  static override description =
    'Retries devices that failed, rolled back or were missed, even after the rollout has ended.';

  static override hiddenAliases = ['ota:retry'];
  protected readonly change = 'retry';
  protected readonly nextCommand = 'watch';
}
