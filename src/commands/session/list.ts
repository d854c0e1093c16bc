import * as z from 'zod';
import { loginSessionSchema } from '../../lib/api/contract/access.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { loginSessionsTable } from '../../lib/cli/render/platform.js';

export default class SessionList extends PlatformCommand {
  static override summary = 'List logins to the dashboard and the command line.';
  static override description =
    'Lists the logins that have not ended: dashboard sessions, and logins with aiot login. Operators see everyone, others see their own. * marks the login that makes the request.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --json',
  ];
  static override flags = { context: shared.context };
  static override result = z.array(loginSessionSchema);

  async run() {
    return this.ask(
      await this.input(SessionList),
      ({ sessions }) => sessions.list(),
      loginSessionsTable,
      ({ length }) => [length > 0 ? 'aiot session revoke ID' : 'aiot dashboard'],
    );
  }
}
