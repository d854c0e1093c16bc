import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { next } from '../../lib/cli/render/text.js';
import { trustStatusText } from '../../lib/cli/render/versions.js';
import { trustStatus, trustStatusSchema } from '../../lib/provision/trust.js';
import { withClient } from '../../lib/registry/context.js';

export default class TrustStatus extends AiotCommand {
  static override summary = 'Show who may sign what, and until when.';
  static override hiddenAliases = ['trust'];
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --json',
  ];
  static override flags = { context: shared.context };
  static override result = trustStatusSchema;

  async run() {
    const input = await this.input(TrustStatus);
    const at = again(input, 'context');
    const status = await withClient(input.flags.context, (client) => trustStatus(client));
    this.print(trustStatusText(status));
    const wellSigned =
      status.warnings.length === 0 ? 'aiot model list' : 'aiot trust rotate --role root --root-key FILE';
    this.print(next(`${status.apart ? wellSigned : 'aiot trust init --out DIR'}${at}`));
    return status;
  }
}
