import * as z from 'zod';
import { tokenSchema } from '../../lib/api/contract/access.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { tokensTable } from '../../lib/cli/render/platform.js';

export default class TokenList extends PlatformCommand {
  static override summary = 'List tokens with their owners, permissions and expiry.';
  static override description = 'Operators see all tokens; others see their own. Secrets are never shown.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --json',
  ];
  static override flags = { context: shared.context };
  static override result = z.array(tokenSchema);

  async run() {
    return this.ask(
      await this.input(TokenList),
      ({ tokens }) => tokens.list(),
      tokensTable,
      () => ['aiot token create NAME --role viewer --expires 30d'],
    );
  }
}
