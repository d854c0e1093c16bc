import * as z from 'zod';
import { userSchema } from '../../lib/api/contract/access.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { usersTable } from '../../lib/cli/render/platform.js';

export default class UserList extends PlatformCommand {
  static override summary = "List the platform's users.";
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --json',
  ];
  static override flags = { context: shared.context };
  static override result = z.array(userSchema);

  async run() {
    return this.ask(
      await this.input(UserList),
      ({ users }) => users.list(),
      usersTable,
      ({ length }) => [length > 0 ? 'aiot token list' : 'aiot user add NAME --role viewer'],
    );
  }
}
