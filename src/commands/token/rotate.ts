import { Args } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { duration, shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { madeTokenText } from '../../lib/cli/render/platform.js';
import { next } from '../../lib/cli/render/text.js';
import { longestGraceMs, madeTokenSchema } from '../../lib/registry/access.js';
import { withClient } from '../../lib/registry/context.js';

export default class TokenRotate extends AiotCommand {
  static override summary = 'Give a token another secret, with the same rights and as long a life.';
  static override description =
    'The one before ends at once, or stays good for a while with --grace. A token may rotate itself.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> tok_0123456789ab --grace 1h',
    '<%= config.bin %> <%= command.id %> tok_0123456789ab --json',
  ];
  static override args = { id: Args.string({ required: true, description: 'Id of the token, as listed.' }) };
  static override flags = {
    grace: duration({
      summary: 'How long the one before stays good, such as 1h.',
      env: 'AIOT_GRACE',
      max: longestGraceMs,
      default: 0,
    }),
    context: shared.context,
  };
  static override result = madeTokenSchema;

  async run() {
    const input = await this.input(TokenRotate);
    const { args, flags } = input;
    const made = await withClient(flags.context, (client) => client.tokens.rotate(args.id, flags.grace));
    this.print(madeTokenText(made));
    this.print(next(`aiot token list${again(input, 'context')}`));
    return made;
  }
}
