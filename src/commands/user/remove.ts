import { Args } from '@oclif/core';
import { removedUserSchema } from '../../lib/api/contract/access.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { plural } from '../../lib/core/figures.js';

export default class UserRemove extends PlatformCommand {
  static override summary = 'Remove a user and revoke their tokens.';
  static override description =
    "Open connections are closed. A later user with the same name does not inherit the tokens. Events keep the removed user's name.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> alice',
    '<%= config.bin %> <%= command.id %> alice --json',
  ];
  static override args = { name: Args.string({ required: true, description: 'User name.' }) };
  static override flags = { yes: shared.yes, context: shared.context };
  static override result = removedUserSchema;

  async run() {
    const input = await this.input(UserRemove);
    const { name } = input.args;
    return this.ask(
      input,
      async ({ users }) => {
        const user = (await users.list()).find((each) => each.name === name);
        if (user) {
          const what = `${name} (${user.role}, ${plural(user.tokens, 'token')})`;
          const question = `Permanently remove ${what} and close all connections of its tokens?`;
          await this.agreeToLose(question, input.flags.yes);
        }
        return users.remove(name);
      },
      (removed) => `Removed ${removed.name} and revoked ${plural(removed.tokensRevoked, 'token')}.`,
      () => ['aiot user list'],
    );
  }
}
