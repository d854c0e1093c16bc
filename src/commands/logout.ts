import { logOut, logoutResultSchema } from '../lib/api/login.js';
import { AiotCommand } from '../lib/cli/command.js';
import { shared } from '../lib/cli/flags/shared.js';
import { next } from '../lib/cli/render/text.js';

export default class Logout extends AiotCommand {
  static override summary = 'Log out of the platform, and end the login at the provider.';
  static override description =
    "The login's token is revoked and deleted from the context. The context stays, so that you can log in again. Tokens of local users are not affected.";
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --context work --json',
  ];
  static override flags = { context: shared.context };
  static override result = logoutResultSchema;

  async run() {
    const { flags } = await this.input(Logout);
    const done = await logOut(flags.context);
    this.print(`Logged out of ${done.context} (${done.url}).`);
    this.suggest(next(`aiot login ${done.context}`));
    return done;
  }
}
