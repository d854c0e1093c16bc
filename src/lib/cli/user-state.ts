import { Args } from '@oclif/core';
import { type User, userSchema } from '../api/contract/access.js';
import { shared } from './flags/shared.js';
import { PlatformCommand } from './platform-command.js';

/** Base of the two commands that enable or disable a user. Each explains its effect, and suggests the next command. */
export abstract class UserStateCommand extends PlatformCommand {
  static override examples = [
    '<%= config.bin %> <%= command.id %> alice',
    '<%= config.bin %> <%= command.id %> alice --json',
  ];
  static override args = { name: Args.string({ required: true, description: 'User name.' }) };
  static override flags = { context: shared.context };
  static override result = userSchema;

  protected abstract readonly action: 'enable' | 'disable';
  /** Explains the effect on a user whose state has changed. */
  protected abstract text(user: User): string;
  protected abstract nextCommands(user: User): string[];

  async run() {
    const input = await this.input(this.ctor as typeof UserStateCommand);
    const { name } = input.args;
    let changed = true;
    return this.ask(
      input,
      async ({ users }) => {
        const { disabled } = await users.get(name);
        changed = (this.action === 'disable') === (disabled === null);
        return users.act(name, this.action);
      },
      (user) => (changed ? this.text(user) : `${name} is already ${this.action}d; nothing was changed.`),
      (user) => (changed ? this.nextCommands(user) : ['aiot user list']),
    );
  }
}
