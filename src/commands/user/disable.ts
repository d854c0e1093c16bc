import { Args } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { next } from '../../lib/cli/render/text.js';
import { userSchema } from '../../lib/registry/access.js';
import { withClient } from '../../lib/registry/context.js';

export default class UserDisable extends AiotCommand {
  static override summary = 'Let a user in no more, until it is enabled again.';
  static override description =
    'None of its tokens is valid from now on; open connections end. The tokens are valid again once the user is enabled: revoke them (aiot token revoke) to end them for good.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> alice',
    '<%= config.bin %> <%= command.id %> alice --json',
  ];
  static override args = { name: Args.string({ required: true, description: 'Name of the user.' }) };
  static override flags = { context: shared.context };
  static override result = userSchema;

  async run() {
    const input = await this.input(UserDisable);
    const { args, flags } = input;
    const user = await withClient(flags.context, (client) => client.users.act(args.name, 'disable'));
    this.print(`${user.name} is disabled: none of its tokens is good.`);
    this.print(next(`aiot user enable ${user.name}${again(input, 'context')}`));
    return user;
  }
}
