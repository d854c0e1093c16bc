import { RolloutChangeCommand } from '../../lib/cli/rollout-change.js';

export default class RolloutRollback extends RolloutChangeCommand {
  static override summary = 'Roll back all devices of a rollout.';
  static override description =
    'Devices return to the release set by --rollback-to at the start; devices that have not started will not start.';

  static override hiddenAliases = ['ota:rollback'];
  protected readonly change = 'rollback';
  protected readonly nextCommand = 'watch';
}
