import { type RolloutCommand, rolloutSchema } from '../api/rollouts/schema.js';
import { rolloutId } from './flags/rollouts.js';
import { shared } from './flags/shared.js';
import { PlatformCommand } from './platform-command.js';
import { rolloutText } from './render/rollout.js';

/** Base of the commands that pause, resume or otherwise change a rollout. Each prints its effect and the next command. */
export abstract class RolloutChangeCommand extends PlatformCommand {
  static override examples = [
    '<%= config.bin %> <%= command.id %> ro_01k2',
    '<%= config.bin %> <%= command.id %> ro_01k2 --json',
  ];
  static override args = rolloutId;
  static override flags = { context: shared.context };
  static override result = rolloutSchema;

  protected abstract readonly change: RolloutCommand;
  protected abstract readonly nextCommand: 'watch' | 'resume' | 'report';

  async run() {
    const input = await this.input(this.ctor as typeof RolloutChangeCommand);
    const { id } = input.args;
    return this.ask(
      input,
      ({ rollouts }) => rollouts.command(id, this.change),
      rolloutText,
      () => [`aiot rollout ${this.nextCommand} ${id}`],
    );
  }
}
