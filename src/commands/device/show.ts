import { Args } from '@oclif/core';
import { deviceSchema } from '../../lib/api/fields.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { deviceText } from '../../lib/cli/render/fleet.js';

export default class DeviceShow extends PlatformCommand {
  static override summary = 'Show one device: its state, certificate and model.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> motor-1',
    '<%= config.bin %> <%= command.id %> motor-1 --json',
  ];
  static override args = { name: Args.string({ required: true, description: 'Device name.' }) };
  static override flags = { context: shared.context };
  static override result = deviceSchema;

  async run() {
    const input = await this.input(DeviceShow);
    return this.ask(
      input,
      ({ devices }) => devices.get(input.args.name),
      deviceText,
      ({ name }) => [`aiot device history ${name}`, 'aiot device list'],
    );
  }
}
