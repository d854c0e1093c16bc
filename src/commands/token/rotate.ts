import { Args } from '@oclif/core';
import { longestGraceMs } from '../../lib/api/contract/access.js';
import { savedTokenSchema, savingToken } from '../../lib/api/token-file.js';
import { tokenFile } from '../../lib/cli/flags/platform.js';
import { duration, shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { madeTokenText } from '../../lib/cli/render/platform.js';

export default class TokenRotate extends PlatformCommand {
  static override summary = "Replace a token's secret, keeping its permissions.";
  static override description =
    'The new secret has the same validity period as the old one, starting now. The old secret is revoked immediately, or after --grace. A token can rotate itself: the ID self stands for the token in use. A context keeps the old secret until you run aiot context add again.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> tok_0123456789ab --grace 1h',
    '<%= config.bin %> <%= command.id %> tok_0123456789ab --json',
    '<%= config.bin %> <%= command.id %> self --grace 1h --out ci-token.txt',
  ];
  static override args = {
    id: Args.string({ required: true, description: 'Token ID, as listed, or self.' }),
  };
  static override flags = {
    grace: duration({
      summary: 'How long the old secret stays valid, such as 1h.',
      env: 'AIOT_GRACE',
      max: longestGraceMs,
      default: 0,
    }),
    out: tokenFile(),
    context: shared.context,
  };
  static override result = savedTokenSchema;

  async run() {
    const input = await this.input(TokenRotate);
    const made = await this.ask(
      input,
      ({ tokens }) => savingToken(input.flags.out, () => tokens.rotate(input.args.id, input.flags.grace)),
      madeTokenText,
      () => ['aiot token list'],
    );
    if (made.unsaved !== undefined) this.exitsWith(1);
    return made;
  }
}
