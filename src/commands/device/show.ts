import { Args } from '@oclif/core';
import { deviceHealthSchema } from '../../lib/api/contract/attention.js';
import { deviceSchema } from '../../lib/api/fields.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { deviceWithHealthText } from '../../lib/cli/render/fleet.js';

export default class DeviceShow extends PlatformCommand {
  static override summary = 'Show one device: its state, certificate, model and health.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> motor-1',
    '<%= config.bin %> <%= command.id %> motor-1 --json',
  ];
  static override args = { name: Args.string({ required: true, description: 'Device name.' }) };
  static override flags = { context: shared.context };
  static override result = deviceSchema.extend({ health: deviceHealthSchema });

  async run() {
    const input = await this.input(DeviceShow);
    return this.ask(
      input,
      async ({ devices, attention }) => ({
        ...(await devices.get(input.args.name)),
        health: await attention.get(input.args.name),
      }),
      deviceWithHealthText,
      ({ name }) => [`aiot device history ${name}`, 'aiot device list'],
    );
  }
}
