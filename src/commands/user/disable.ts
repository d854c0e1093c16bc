import type { User } from '../../lib/api/contract/access.js';
import { UserStateCommand } from '../../lib/cli/user-state.js';

export default class UserDisable extends UserStateCommand {
  static override summary = 'Disable a user until you enable them again.';
  static override description =
    "The user's tokens are rejected, and open connections are closed. Enabling the user makes the tokens valid again; to revoke them permanently, use aiot token revoke.";

  protected readonly action = 'disable';

  protected text({ name }: User): string {
    return `${name} is disabled; none of its tokens is accepted.`;
  }

  protected nextCommands({ name }: User): string[] {
    return [`aiot user enable ${name}`];
  }
}
