import { Args } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { next } from '../../lib/cli/render/text.js';
import { plural } from '../../lib/core/figures.js';
import { removedUserSchema } from '../../lib/registry/access.js';
import { withClient } from '../../lib/registry/context.js';

export default class UserRemove extends AiotCommand {
  static override summary = 'Remove a user and revoke its tokens.';
  static override description =
    'What is open with them ends. Whoever has the name next gets none of them; the events keep who did what.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> alice',
    '<%= config.bin %> <%= command.id %> alice --json',
  ];
  static override args = { name: Args.string({ required: true, description: 'Name of the user.' }) };
  static override flags = { yes: shared.yes, context: shared.context };
  static override result = removedUserSchema;

  async run() {
    const input = await this.input(UserRemove);
    const { args, flags } = input;
    const removed = await withClient(flags.context, async (client) => {
      const user = (await client.users.list()).find(({ name }) => name === args.name);
      if (user) {
        const what = `${user.name} (${user.role}, ${plural(user.tokens, 'token')})`;
        await this.agreeToLose(`Remove ${what} for good, and end what is open with the tokens?`, flags.yes);
      }
      return client.users.remove(args.name);
    });
    this.print(`${removed.name} is gone; ${plural(removed.tokensRevoked, 'token')} revoked.`);
    this.print(next(`aiot user list${again(input, 'context')}`));
    return removed;
  }
}
