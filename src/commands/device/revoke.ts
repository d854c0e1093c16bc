import { Args } from '@oclif/core';
import { AiotCommand, again, next, shared } from '../../lib/cli/index.js';
import { deviceSchema, withClient } from '../../lib/registry/index.js';

export default class DeviceRevoke extends AiotCommand {
  static override summary = 'Take a device’s access back for good; its name is free again.';
  static override description =
    'Its certificate is refused from now on, also where it is connected. A device whose provisioning was cut short is freed this way. It cannot be undone: provision it anew.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> motor-1',
    '<%= config.bin %> <%= command.id %> motor-1 --json',
  ];
  static override args = { name: Args.string({ required: true, description: 'Name of the device.' }) };
  static override flags = { context: shared.context };
  static override result = deviceSchema;

  async run() {
    const input = await this.input(DeviceRevoke);
    const { args, flags } = input;
    const at = again(input, 'context');
    const device = await withClient(flags.context, (client) => client.devices.act(args.name, 'revoke'));
    this.print(`${device.name} is revoked: its certificate is refused from now on, and its name is free.`);
    this.print(next(`aiot device provision ${device.name} --type ${device.type} --out DIR${at}`));
    return device;
  }
}
