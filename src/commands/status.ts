import { statusSchema } from '../lib/api/api.js';
import { shared } from '../lib/cli/flags/shared.js';
import { PlatformCommand } from '../lib/cli/platform-command.js';
import { statusText } from '../lib/cli/render/platform.js';

export default class Status extends PlatformCommand {
  static override summary = "Show the current platform's status.";
  static override description =
    'Shows listeners, engines, counts, disk space and warnings. Exits with 6 if the platform cannot serve requests, for example because its database is unreachable.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --context lab --json',
  ];
  static override flags = { context: shared.context };
  static override result = statusSchema;

  async run() {
    const status = await this.ask(
      await this.input(Status),
      (client) => client.status(),
      statusText,
      () => ['aiot device list', 'aiot model list'],
    );
    if (!status.ready) this.exitsWith(6);
    return status;
  }
}
