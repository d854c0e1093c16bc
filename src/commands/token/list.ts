import * as z from 'zod';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { tokensTable } from '../../lib/cli/render/platform.js';
import { next } from '../../lib/cli/render/text.js';
import { tokenSchema } from '../../lib/registry/access.js';
import { withClient } from '../../lib/registry/context.js';

export default class TokenList extends AiotCommand {
  static override summary = 'List tokens: whose, for what, with which rights, until when, last used when.';
  static override description =
    'Operators see all of them, others their own. The secrets are nowhere to be seen.';
  static override hiddenAliases = ['token'];
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --json',
  ];
  static override flags = { context: shared.context };
  static override result = z.array(tokenSchema);

  async run() {
    const input = await this.input(TokenList);
    const tokens = await withClient(input.flags.context, (client) => client.tokens.list());
    this.print(tokensTable(tokens));
    this.print(next(`aiot token create NAME --role viewer --expires 30d${again(input, 'context')}`));
    return tokens;
  }
}
