import { Args } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { next } from '../../lib/cli/render/text.js';
import { unless } from '../../lib/core/errors.js';
import { tokenSchema } from '../../lib/registry/access.js';
import { withClient } from '../../lib/registry/context.js';

export default class TokenRevoke extends AiotCommand {
  static override summary = 'End a token for good, and all that is open with it.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> tok_0123456789ab',
    '<%= config.bin %> <%= command.id %> tok_0123456789ab --json',
  ];
  static override args = { id: Args.string({ required: true, description: 'Id of the token, as listed.' }) };
  static override flags = { yes: shared.yes, context: shared.context };
  static override result = tokenSchema;

  async run() {
    const input = await this.input(TokenRevoke);
    const { args, flags } = input;
    const token = await withClient(flags.context, async (client) => {
      // Who may revoke a token, his own, need not see all of them.
      const all = await unless('AIOT_NOT_ALLOWED', client.tokens.list());
      const found = all?.find(({ id }) => id === args.id);
      const what = found ? `${found.id} (${found.name}, ${found.role})` : args.id;
      if (found || !all)
        await this.agreeToLose(`Revoke ${what} for good, and end what is open with it?`, flags.yes);
      return client.tokens.revoke(args.id);
    });
    this.print(
      `${token.id} (${token.name}) is revoked: it is refused from now on, and what was open with it has ended.`,
    );
    this.print(next(`aiot token list${again(input, 'context')}`));
    return token;
  }
}
