import { Args, Flags } from '@oclif/core';
import * as z from 'zod';
import { AiotCommand } from '../../lib/cli/command.js';
import { flashFlags, imageAsked, imageFlags, loaderOptions, ownPort } from '../../lib/cli/flags/boards.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { afterProvisioning, provisionedText, provisionWarnings } from '../../lib/cli/render/provisioned.js';
import { next } from '../../lib/cli/render/text.js';
import { unless } from '../../lib/core/errors.js';
import { onboardedSchema } from '../../lib/device/onboard/onboard.js';
import { renewDevice } from '../../lib/device/onboard/renew.js';
import { operatorKey } from '../../lib/provision/operator-key.js';
import { provisionedDeviceSchema } from '../../lib/provision/provision.js';
import { contextFor, withClient } from '../../lib/registry/context.js';

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
