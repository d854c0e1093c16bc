import { AiotCommand } from '../lib/cli/command.js';
import { shared } from '../lib/cli/flags/shared.js';
import { again } from '../lib/cli/invocation.js';
import { statusText } from '../lib/cli/render/platform.js';
import { next } from '../lib/cli/render/text.js';
import { statusSchema } from '../lib/registry/api.js';
import { withClient } from '../lib/registry/context.js';

export default class Status extends AiotCommand {
  static override summary = 'Show how the platform in use is: listeners, engines, counts, disk, warnings.';
  static override description =
    'The exit code is 6 while the platform cannot do what it is asked for: its database is out of reach, say.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --context lab --json',
  ];
  static override flags = { context: shared.context };
  static override result = statusSchema;

  async run() {
    const input = await this.input(Status);
    const { flags } = input;
    const at = again(input, 'context');
    const status = await withClient(flags.context, (client) => client.status());
    this.print(statusText(status));
    if (!status.ready) this.exitsWith(6);
    this.print(next(`aiot device list${at}`, `aiot model list${at}`));
    return status;
  }
}
