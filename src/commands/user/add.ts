import { Args } from '@oclif/core';
import { userSchema } from '../../lib/api/contract/access.js';
import { roleFlag } from '../../lib/cli/flags/platform.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';

export default class UserAdd extends PlatformCommand {
  static override summary = 'Add a user: a person or a program.';
  static override description = 'Users authenticate with tokens. To create one, use aiot token create.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> alice --role operator',
    '<%= config.bin %> <%= command.id %> builds --role ci --json',
  ];
  static override args = { name: Args.string({ required: true, description: 'User name.' }) };
  static override flags = { role: roleFlag({ required: true }), context: shared.context };
  static override result = userSchema;

  async run() {
    const input = await this.input(UserAdd);
    const { role } = input.flags;
    return this.ask(
      input,
      ({ users }) => users.add({ name: input.args.name, role }),
      (user) => `${user.name} is a user with the role ${user.role}.`,
      (user) => [`aiot token create laptop --user ${user.name} --role ${user.role} --expires 30d`],
    );
  }
}
