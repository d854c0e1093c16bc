import { AiotCommand, dashboardText, shared } from '../lib/cli/index.js';
import { loginLinkSchema, withClient } from '../lib/registry/index.js';

export default class Dashboard extends AiotCommand {
  static override summary = 'Make a link into the dashboard of the platform in use.';
  static override description =
    'The link logs one browser in, once and within a quarter of an hour, with what the context’s token may. The session lasts a week at most, and ends with the token.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --context lab --json',
  ];
  static override flags = { context: shared.context };
  static override result = loginLinkSchema;

  async run() {
    const { flags } = await this.input(Dashboard);
    const link = await withClient(flags.context, (client) => client.session.link());
    this.print(dashboardText(link));
    return link;
  }
}
