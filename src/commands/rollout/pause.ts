import { RolloutChangeCommand } from '../../lib/cli/rollout-change.js';

export default class RolloutPause extends RolloutChangeCommand {
  static override summary = 'Pause a rollout; devices already updating will finish.';
  static override description = 'Devices that have not started keep their current version.';

  static override hiddenAliases = ['ota:pause'];
  protected readonly change = 'pause';
  protected readonly nextCommand = 'resume';
}
