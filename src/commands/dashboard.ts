import { Flags } from '@oclif/core';
import { withClient } from '../lib/api/context.js';
import { loginLinkSchema } from '../lib/api/contract/access.js';
import { AiotCommand } from '../lib/cli/command.js';
import { shared } from '../lib/cli/flags/shared.js';
import { dashboardText } from '../lib/cli/render/platform.js';
import { openSecretUrl } from '../lib/cli/report.js';

export default class Dashboard extends AiotCommand {
  static override summary = "Print a login link to the current platform's dashboard.";
  static override description =
    "The link works once, in one browser, for 15 minutes. It grants the permissions of the context's token. The session ends when the token becomes invalid, or after a week.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> --open',
    '<%= config.bin %> <%= command.id %> --context lab --json',
  ];
  static override flags = {
    open: Flags.boolean({ summary: 'Open the link in the browser.', env: 'AIOT_OPEN' }),
    context: shared.context,
  };
  static override result = loginLinkSchema;

  async run() {
    const { flags } = await this.input(Dashboard);
    const link = await withClient(flags.context, (client) => client.session.link());
    this.print(dashboardText(link));
    if (flags.open && !(await openSecretUrl(link.url))) this.note('No browser is available on this machine.');
    return link;
  }
}
