import { Args } from '@oclif/core';
import { loginSessionSchema } from '../../lib/api/contract/access.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { loginSessionText } from '../../lib/cli/render/platform.js';
import { unless } from '../../lib/core/errors.js';

export default class SessionRevoke extends PlatformCommand {
  static override summary = 'End a login and close its connections.';
  static override description =
    'The login is rejected from now on, and its connections are closed within 2 seconds, on every replica. Other logins of the user, and the token that opened the session, stay valid. The account can log in again. To prevent that, use aiot user disable or aiot token revoke.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> ses_0123456789ab',
    '<%= config.bin %> <%= command.id %> tok_0123456789ab --yes --json',
  ];
  static override args = { id: Args.string({ required: true, description: 'ID of the login, as listed.' }) };
  static override flags = { yes: shared.yes, context: shared.context };
  static override result = loginSessionSchema;

  async run() {
    const input = await this.input(SessionRevoke);
    const { id } = input.args;
    return this.ask(
      input,
      async ({ sessions }) => {
        const all = await unless('AIOT_NOT_ALLOWED', sessions.list());
        const found = all?.find((session) => session.id === id);
        const what = found ? loginSessionText(found) : id;
        if (found || !all) await this.agreeToLose(`End ${what} and close its connections?`, input.flags.yes);
        return sessions.revoke(id);
      },
      (session) => `Ended ${loginSessionText(session)}. Its connections are closed within 2 seconds.`,
      () => ['aiot session list'],
    );
  }
}
