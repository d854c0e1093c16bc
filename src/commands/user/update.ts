import { Args } from '@oclif/core';
import { userSchema } from '../../lib/api/contract/access.js';
import { reachFlag, roleFlag } from '../../lib/cli/flags/platform.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { onDevices } from '../../lib/cli/render/platform.js';
import { AiotError } from '../../lib/core/errors.js';

export default class UserUpdate extends PlatformCommand {
  static override summary = "Change a user's role or devices.";
  static override description =
    "The rights of the user's tokens follow at once, and open connections are closed. The last administrator cannot be changed, and you cannot widen your own rights. --selector all removes the limit. Only options on the command line count: AIOT_ROLE and AIOT_SELECTOR change no user.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> alice --role viewer',
    '<%= config.bin %> <%= command.id %> bob --selector site=hall-3 --json',
    '<%= config.bin %> <%= command.id %> bob --role operator --selector all',
  ];
  static override args = { name: Args.string({ required: true, description: 'User name.' }) };
  static override flags = {
    role: roleFlag(),
    selector: reachFlag({
      summary: 'Limit the rights to devices, by name, type, group or tag: site=hall-3; all = no limit.',
    }),
    context: shared.context,
  };
  static override result = userSchema;

  async run() {
    const input = await this.input(UserUpdate);
    // A variable for other commands, such as AIOT_ROLE for aiot token create, must not change a user's rights.
    const role = input.given('role') ? input.flags.role : undefined;
    const selector = input.given('selector') ? input.flags.selector : undefined;
    if (role === undefined && selector === undefined)
      throw new AiotError('AIOT_USAGE', 'expected --role ROLE or --selector SELECTOR');
    return this.ask(
      input,
      ({ users }) => users.change(input.args.name, { role, selector }),
      (user) => `${user.name} now has the role ${user.role}${onDevices(user)}.`,
      () => ['aiot token list'],
    );
  }
}
