import { withClient } from '../registry/context.js';
import type { Rollout, RolloutCommand } from '../registry/rollouts/schema.js';
import { AiotCommand } from './command.js';
import { again } from './invocation.js';
import { rolloutText } from './render/rollout.js';
import { next } from './render/text.js';

interface Asked {
  args: { id: string };
  flags: { context?: string | undefined };
  given: (flag: string) => boolean;
}

/** Base of the commands that tell a rollout one thing: they say what, this does it and shows it. */
export abstract class RolloutChangeCommand extends AiotCommand {
  /** @param then what to look at next: the topic's command of this rollout */
  protected async change(
    asked: Asked,
    command: RolloutCommand,
    then: 'watch' | 'resume' | 'report',
  ): Promise<Rollout> {
    const { id } = asked.args;
    const rollout = await withClient(asked.flags.context, (client) => client.rollouts.command(id, command));
    this.print(rolloutText(rollout));
    this.print(next(`aiot ota ${then} ${id}${again(asked, 'context')}`));
    return rollout;
  }
}
