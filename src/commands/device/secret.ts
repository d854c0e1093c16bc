import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { deviceSecretText } from '../../lib/cli/render/fleet.js';
import { withClient } from '../../lib/registry/context.js';
import { deviceSecretSchema } from '../../lib/registry/secrets.js';

export default class DeviceSecret extends AiotCommand {
  static override summary =
    'Make a secret for a device that cannot show a certificate, and show it this once.';
  static override description =
    'MQTT over TLS with the name of the device as the user and the secret as the password; for SWUpdate, RAUC and Zephyr, their target token. The one before is not good any more. A certificate is better: nobody can read it off the wire or out of a log.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> motor-1',
    '<%= config.bin %> <%= command.id %> motor-1 --remove',
  ];
  static override args = { name: Args.string({ required: true, description: 'The device.' }) };
  static override flags = {
    remove: Flags.boolean({ summary: 'Take its secret away instead.', env: 'AIOT_REMOVE' }),
    context: shared.context,
  };
  static override result = deviceSecretSchema;

  async run() {
    const { args, flags } = await this.input(DeviceSecret);
    const result = await withClient(flags.context, ({ secrets }) =>
      flags.remove ? secrets.remove(args.name) : secrets.make(args.name),
    );
    this.print(deviceSecretText(result));
    return result;
  }
}
