import { Args, Flags } from '@oclif/core';
import { deviceSecretSchema } from '../../lib/api/contract/devices.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { deviceSecretText } from '../../lib/cli/render/fleet.js';

export default class DeviceSecret extends PlatformCommand {
  static override summary = 'Create a secret for a device without a certificate.';
  static override description =
    'The secret is shown only once. Connect by MQTT over TLS, with the device name as the user name and the secret as the password. For SWUpdate, RAUC and Zephyr, the secret is the target token. The previous secret becomes invalid. Prefer a certificate: it cannot be copied from network traffic or a log.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> motor-1',
    '<%= config.bin %> <%= command.id %> motor-1 --remove',
  ];
  static override args = { name: Args.string({ required: true, description: 'Device name.' }) };
  static override flags = {
    remove: Flags.boolean({ summary: "Delete the device's secret instead.", env: 'AIOT_REMOVE' }),
    context: shared.context,
  };
  static override result = deviceSecretSchema;

  async run() {
    const input = await this.input(DeviceSecret);
    const { name } = input.args;
    return this.ask(
      input,
      ({ secrets }) => (input.flags.remove ? secrets.remove(name) : secrets.make(name)),
      deviceSecretText,
      () => [],
    );
  }
}
