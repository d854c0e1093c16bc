import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { duration, shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { bold } from '../../lib/cli/render/style.js';
import { next } from '../../lib/cli/render/text.js';
import { firmwareFacts } from '../../lib/cli/render/versions.js';
import { operatorKey } from '../../lib/provision/operator-key.js';
import { contextFor, withClient } from '../../lib/registry/context.js';
import { pushedFirmwareSchema, pushFirmware } from '../../lib/registry/firmware/push.js';

export default class FirmwarePush extends AiotCommand {
  static override summary =
    'Check an application image, a computer’s program or an update bundle, sign it here, and put it into the registry.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> build/motor.bin --name motor',
    '<%= config.bin %> <%= command.id %> build/motor.bin --types esp32,pump --json',
    '<%= config.bin %> <%= command.id %> build/aiot-device --name aiot-device --types virtual',
    '<%= config.bin %> <%= command.id %> gateway.swu --name gateway --types swupdate',
  ];
  static override args = {
    image: Args.string({
      required: true,
      description: 'Application image (.bin), program for Linux (ELF), or bundle (.swu, .raucb, MCUboot’s).',
    }),
  };
  static override flags = {
    name: Flags.string({ summary: 'Name of the firmware [default: the image’s project].', env: 'AIOT_NAME' }),
    types: Flags.string({
      summary:
        'Types of device that it is released for, with commas [default: the image’s chip; virtual, swupdate, rauc, zephyr].',
      env: 'AIOT_TYPES',
      helpValue: 'TYPE,…',
    }),
    expires: duration({ summary: 'Devices refuse it after this time.', env: 'AIOT_EXPIRES' }),
    context: shared.context,
  };
  static override result = pushedFirmwareSchema;

  async run() {
    const input = await this.input(FirmwarePush);
    const { args, flags } = input;
    const context = await contextFor(flags.context);
    const privatePem = await operatorKey(context.name);
    const pushed = await withClient(context.name, (client) =>
      pushFirmware({
        ...{ client, privatePem, path: args.image, name: flags.name, validMs: flags.expires },
        deviceTypes: flags.types?.split(',').map((type) => type.trim()),
      }),
    );
    const what = `${pushed.name}@${pushed.version}`;
    this.print(`${bold(what)} is pushed to ${context.url}.\n${firmwareFacts(pushed)}`);
    const at = again(input, 'context');
    const cable = pushed.chip === null ? [] : [`aiot flash --slot next --firmware ${what} --port PORT${at}`];
    this.print(next(...cable, `aiot firmware deploy ${what} --to all${at}`));
    return pushed;
  }
}
