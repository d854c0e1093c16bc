import { Args, Flags } from '@oclif/core';
import { AiotCommand, again, bold, day, facts, next, shared, shellWord } from '../../lib/cli/index.js';
import { provisionDevice, provisionedDeviceSchema } from '../../lib/provision/index.js';
import { withClient } from '../../lib/registry/index.js';

export default class DeviceProvision extends AiotCommand {
  static override summary = 'Register a device and write its identity: key, certificate, CA, trust root.';
  static override description =
    'The private key is made here and never sent. What a device needs is then in the folder: give it to the device, and to nobody else.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> motor-1 --type virtual --out ./motor-1',
    '<%= config.bin %> <%= command.id %> gateway --type pi --out ./gateway --json',
  ];
  static override args = { name: Args.string({ required: true, description: 'Name of the device.' }) };
  static override flags = {
    type: Flags.string({
      summary: 'Kind of device that models are released for.',
      default: 'virtual',
      env: 'AIOT_TYPE',
    }),
    out: Flags.string({
      char: 'o',
      summary: 'Folder of the identity; made when missing.',
      required: true,
      env: 'AIOT_OUT',
      helpValue: 'DIR',
    }),
    context: shared.context,
  };
  static override result = provisionedDeviceSchema;

  async run() {
    const input = await this.input(DeviceProvision);
    const { args, flags } = input;
    const at = again(input, 'context');
    const { type, out } = flags;
    const device = await withClient(flags.context, (client) =>
      provisionDevice({ client, name: args.name, type, out }),
    );
    const { fingerprint, expires } = device.certificate;
    const details: [string, string][] = [
      ['id', device.id],
      ['certificate', fingerprint],
      ['valid until', day(expires)],
      ['identity', out],
    ];
    this.print(`${bold(device.name)} is registered.\n${facts(details)}`);
    this.print(next(type === 'virtual' ? `aiot device simulate ${shellWord(out)}` : `aiot device list${at}`));
    return device;
  }
}
