import { Flags } from '@oclif/core';
import { AiotCommand } from '../lib/cli/command.js';
import { shared } from '../lib/cli/flags/shared.js';
import { dashboardText } from '../lib/cli/render/platform.js';
import { openSecretUrl } from '../lib/cli/report.js';
import { withClient } from '../lib/registry/context.js';
import { loginLinkSchema } from '../lib/registry/session-api.js';

export default class Dashboard extends AiotCommand {
  static override summary = 'Make a link into the dashboard of the platform in use.';
  static override description =
    'The link logs one browser in, once and within a quarter of an hour, with what the context’s token may. The session lasts a week at most, and ends with the token.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> --open',
    '<%= config.bin %> <%= command.id %> --context lab --json',
  ];
  static override flags = {
    open: Flags.boolean({ summary: 'Open it in the browser.', env: 'AIOT_OPEN' }),
    context: shared.context,
  };
  static override result = loginLinkSchema;

  async run() {
    const { flags } = await this.input(Dashboard);
    const link = await withClient(flags.context, (client) => client.session.link());
    this.print(dashboardText(link));
    if (flags.open && !(await openSecretUrl(link.url))) this.note('There is no browser to open it in here.');
    return link;
  }
}
