import { RolloutChangeCommand } from '../../lib/cli/rollout-change.js';

export default class RolloutAbort extends RolloutChangeCommand {
  static override summary = 'End a rollout; committed devices keep the new version.';
  static override description =
    'Devices that are downloading stop and keep their current version. To roll back devices that have committed, use aiot rollout rollback.';

  static override hiddenAliases = ['ota:abort'];
  protected readonly change = 'abort';
  protected readonly nextCommand = 'report';
}
