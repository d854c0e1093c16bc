import { Args } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { next } from '../../lib/cli/render/text.js';
import { plural } from '../../lib/core/figures.js';
import { userSchema } from '../../lib/registry/access.js';
import { withClient } from '../../lib/registry/context.js';

export default class UserEnable extends AiotCommand {
  static override summary = 'Let a disabled user in again.';
  static override description =
    'The tokens it had before are valid again, except those that were revoked or have expired. Revoke them first if one may have leaked: aiot token revoke.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> alice',
    '<%= config.bin %> <%= command.id %> alice --json',
  ];
  static override args = { name: Args.string({ required: true, description: 'Name of the user.' }) };
  static override flags = { context: shared.context };
  static override result = userSchema;

  async run() {
    const input = await this.input(UserEnable);
    const { args, flags } = input;
    const user = await withClient(flags.context, (client) => client.users.act(args.name, 'enable'));
    const at = again(input, 'context');
    this.print(
      user.tokens === 0
        ? `${user.name} is enabled and has no valid token.`
        : `${user.name} is enabled. Valid again: ${plural(user.tokens, 'token')} from before.`,
    );
    this.print(
      user.tokens === 0
        ? next(`aiot token create ${user.name} --user ${user.name} --role ${user.role}${at}`)
        : next(`aiot token list${at}`, `aiot token revoke ID${at}`),
    );
    return user;
  }
}
