import type { User } from '../../lib/api/contract/access.js';
import { UserStateCommand } from '../../lib/cli/user-state.js';
import { plural } from '../../lib/core/figures.js';

export default class UserEnable extends UserStateCommand {
  static override summary = 'Enable a disabled user.';
  static override description =
    "The user's earlier tokens become valid again, except revoked or expired ones. If a token may have leaked, revoke it first: aiot token revoke.";

  protected readonly action = 'enable';

  protected text({ name, tokens }: User): string {
    return tokens === 0
      ? `${name} is enabled and has no valid token.`
      : `${name} is enabled. Valid again: ${plural(tokens, 'earlier token')}.`;
  }

  protected nextCommands({ name, role, tokens }: User): string[] {
    return tokens === 0
      ? [`aiot token create ${name} --user ${name} --role ${role}`]
      : ['aiot token list', 'aiot token revoke ID'];
  }
}
