import { Args } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { roleFlag } from '../../lib/cli/flags/platform.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { next } from '../../lib/cli/render/text.js';
import { userSchema } from '../../lib/registry/access.js';
import { withClient } from '../../lib/registry/context.js';

export default class UserAdd extends AiotCommand {
  static override summary = 'Add a person or a program that may use the platform.';
  static override description =
    'A viewer reads; a ci uploads, pushes, and starts rollouts and jobs; an operator does everything. What lets a user in are its tokens.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> alice --role operator',
    '<%= config.bin %> <%= command.id %> builds --role ci --json',
  ];
  static override args = { name: Args.string({ required: true, description: 'Name of the user.' }) };
  static override flags = { role: roleFlag({ required: true }), context: shared.context };
  static override result = userSchema;

  async run() {
    const input = await this.input(UserAdd);
    const { name } = input.args;
    const { role, context } = input.flags;
    const user = await withClient(context, (client) => client.users.add({ name, role }));
    this.print(`${user.name} is a user with the role ${user.role}.`);
    this.print(
      next(
        `aiot token create laptop --user ${user.name} --role ${user.role} --expires 30d${again(input, 'context')}`,
      ),
    );
    return user;
  }
}
