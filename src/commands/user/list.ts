import * as z from 'zod';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { usersTable } from '../../lib/cli/render/platform.js';
import { next } from '../../lib/cli/render/text.js';
import { userSchema } from '../../lib/registry/access.js';
import { withClient } from '../../lib/registry/context.js';

export default class UserList extends AiotCommand {
  static override summary = 'List the users of the platform.';
  static override hiddenAliases = ['user'];
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --json',
  ];
  static override flags = { context: shared.context };
  static override result = z.array(userSchema);

  async run() {
    const input = await this.input(UserList);
    const at = again(input, 'context');
    const users = await withClient(input.flags.context, (client) => client.users.list());
    this.print(usersTable(users));
    this.print(next(users.length > 0 ? `aiot token list${at}` : `aiot user add NAME --role viewer${at}`));
    return users;
  }
}
