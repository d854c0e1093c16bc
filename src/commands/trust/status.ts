import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { trustStatusText } from '../../lib/cli/render/versions.js';
import { trustStatus, trustStatusSchema } from '../../lib/provision/trust.js';

export default class TrustStatus extends PlatformCommand {
  static override summary = 'Show the trust roles, their keys and their expiry.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --json',
  ];
  static override flags = { context: shared.context };
  static override result = trustStatusSchema;

  async run() {
    return this.ask(await this.input(TrustStatus), trustStatus, trustStatusText, ({ apart, warnings }) => {
      const wellSigned =
        warnings.length === 0 ? 'aiot model list' : 'aiot trust rotate --role root --root-key FILE';
      return [apart ? wellSigned : 'aiot trust init --out DIR'];
    });
  }
}
