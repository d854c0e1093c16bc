import { Args } from '@oclif/core';
import { AiotCommand, again, next, plural, shared } from '../../lib/cli/index.js';
import { userSchema, withClient } from '../../lib/registry/index.js';

export default class UserEnable extends AiotCommand {
  static override summary = 'Let a disabled user in again.';
  static override description =
    'Its tokens are good again, but for those that were revoked or expired meanwhile.';
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
    this.print(`${user.name} is enabled, with ${plural(user.tokens, 'token')}.`);
    this.print(next(`aiot token list${again(input, 'context')}`));
    return user;
  }
}
