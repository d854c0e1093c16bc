import { Args, Flags } from '@oclif/core';
import { z } from 'zod';
import {
  AiotCommand,
  afterProvisioning,
  again,
  flashFlags,
  imageAsked,
  imageFlags,
  loaderOptions,
  next,
  ownPort,
  provisionedText,
  provisionWarnings,
  shared,
} from '../../lib/cli/index.js';
import { unless } from '../../lib/core/index.js';
import { onboardedSchema, renewDevice } from '../../lib/device/index.js';
import { operatorKey, provisionedDeviceSchema } from '../../lib/provision/index.js';
import { contextFor, withClient } from '../../lib/registry/index.js';

export default class DeviceReplace extends AiotCommand {
  static override summary = 'Put another board in the place of one that broke or is gone.';
  static override description =
    'It gets the name, the type and what the device is to run; the certificate of the one before ends at once. It begins with nothing that the other one has reported, and takes no release below that one’s floor.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> motor-1 --out ./motor-1',
    '<%= config.bin %> <%= command.id %> pump-7 --port /dev/ttyUSB0 --json',
  ];
  static override args = { name: Args.string({ required: true, description: 'Name of the device.' }) };
  static override flags = {
    out: Flags.string({
      char: 'o',
      summary: 'Folder of its identity or images, written over.',
      env: 'AIOT_OUT',
      helpValue: 'DIR',
    }),
    mac: shared.mac,
    port: ownPort,
    ...flashFlags,
    ...imageFlags,
    context: shared.context,
  };
  static override result = z.union([onboardedSchema, provisionedDeviceSchema]);

  async run() {
    const input = await this.input(DeviceReplace);
    const { args, flags } = input;
    const { out, port } = flags;
    const context = await contextFor(flags.context);
    const privatePem = (await unless('AIOT_KEY_NOT_FOUND', operatorKey(context.name))) ?? null;
    const result = await withClient(context.name, (client) =>
      renewDevice({
        ...{ client, name: args.name, kind: 'replace', out, port, privatePem },
        now: true,
        mac: flags.mac,
        chip: flags.chip === 'auto' ? undefined : flags.chip,
        loader: loaderOptions(flags, this.signal),
        image: imageAsked(flags),
        onStage: this.stages(),
      }),
    );
    for (const warning of provisionWarnings(result)) this.caution(warning);
    this.print(
      provisionedText(result, 'is another board now; the certificate of the one before is refused.'),
    );
    this.print(next(...afterProvisioning(result, { folder: out, port, at: again(input, 'context') })));
    return result;
  }
}
