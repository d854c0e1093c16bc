import { Args } from '@oclif/core';
import { userSchema } from '../../lib/api/contract/access.js';
import { reachFlag, roleFlag } from '../../lib/cli/flags/platform.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { onDevices } from '../../lib/cli/render/platform.js';

export default class UserAdd extends PlatformCommand {
  static override summary = 'Add a user: a person or a program.';
  static override description = 'Users authenticate with tokens. To create one, use aiot token create.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> alice --role operator',
    '<%= config.bin %> <%= command.id %> bob --role operator --selector site=hall-3',
    '<%= config.bin %> <%= command.id %> builds --role ci --json',
  ];
  static override args = { name: Args.string({ required: true, description: 'User name.' }) };
  static override flags = {
    role: roleFlag({ required: true }),
    selector: reachFlag(),
    context: shared.context,
  };
  static override result = userSchema;

  async run() {
    const input = await this.input(UserAdd);
    const { role, selector } = input.flags;
    return this.ask(
      input,
      ({ users }) => users.add({ name: input.args.name, role, ...(selector !== undefined && { selector }) }),
      (user) => `${user.name} is a user with the role ${user.role}${onDevices(user)}.`,
      (user) => [`aiot token create laptop --user ${user.name} --role ${user.role} --expires 30d`],
    );
  }
}
