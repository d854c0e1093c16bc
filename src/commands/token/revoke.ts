import { Args } from '@oclif/core';
import { tokenSchema } from '../../lib/api/contract/access.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { unless } from '../../lib/core/errors.js';

export default class TokenRevoke extends PlatformCommand {
  static override summary = 'Permanently revoke a token and close its connections.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> tok_0123456789ab',
    '<%= config.bin %> <%= command.id %> tok_0123456789ab --json',
  ];
  static override args = { id: Args.string({ required: true, description: 'Token ID, as listed.' }) };
  static override flags = { yes: shared.yes, context: shared.context };
  static override result = tokenSchema;

  async run() {
    const input = await this.input(TokenRevoke);
    const { id } = input.args;
    return this.ask(
      input,
      async ({ tokens }) => {
        // A user who may revoke a token, such as their own, may not have permission to list all tokens.
        const all = await unless('AIOT_NOT_ALLOWED', tokens.list());
        const found = all?.find((token) => token.id === id);
        const what = found ? `${found.id} (${found.name}, ${found.role})` : id;
        if (found || !all)
          await this.agreeToLose(`Permanently revoke ${what} and close its connections?`, input.flags.yes);
        return tokens.revoke(id);
      },
      (token) =>
        `Revoked ${token.id} (${token.name}). It is rejected from now on, and its connections are closed.`,
      () => ['aiot token list'],
    );
  }
}
