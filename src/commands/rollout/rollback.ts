import { RolloutChangeCommand } from '../../lib/cli/rollout-change.js';

export default class RolloutRollback extends RolloutChangeCommand {
  static override summary = 'Roll back all devices in a rollout.';
  static override description =
    'Devices return to the release that --rollback-to named when the rollout started. Devices that have not started to update keep their current version.';

  static override hiddenAliases = ['ota:rollback'];
  protected readonly change = 'rollback';
  protected readonly nextCommand = 'watch';
}
