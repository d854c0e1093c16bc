import { Args, Flags } from '@oclif/core';
import { contextFor } from '../../lib/api/context.js';
import { pushedFirmwareSchema, pushFirmware } from '../../lib/api/firmware/push.js';
import { duration, shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { pushedSymbolsText } from '../../lib/cli/render/crashes.js';
import { bold } from '../../lib/cli/render/text.js';
import { firmwareFacts } from '../../lib/cli/render/versions.js';
import { operatorKey } from '../../lib/provision/operator-key.js';

export default class FirmwarePush extends PlatformCommand {
  static override summary = 'Check, sign and push a firmware image.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> build/motor.bin --name motor --elf build/motor.elf',
    '<%= config.bin %> <%= command.id %> build/motor.bin --types esp32,pump --json',
    '<%= config.bin %> <%= command.id %> gateway.swu --name gateway --types swupdate',
  ];
  static override args = {
    image: Args.string({
      required: true,
      description: 'Application image (.bin), Linux program (ELF), or bundle (.swu, .raucb, MCUboot).',
    }),
  };
  static override flags = {
    name: Flags.string({ summary: "Firmware name [default: the image's project].", env: 'AIOT_NAME' }),
    types: Flags.string({
      summary:
        "Comma-separated device types that the version is released for [default: the image's chip; otherwise virtual, swupdate, rauc or zephyr].",
      env: 'AIOT_TYPES',
      helpValue: 'TYPE,…',
    }),
    elf: Flags.string({
      summary: 'ELF file of the same build, to decode crashes.',
      env: 'AIOT_ELF',
      helpValue: 'FILE',
    }),
    expires: duration({
      summary:
        'Validity period of the version, such as 720h; devices reject it afterward [default: unlimited].',
      env: 'AIOT_EXPIRES',
    }),
    'secure-version': Flags.integer({
      summary: "Anti-rollback version of a program or bundle [default: the image's, otherwise 0].",
      env: 'AIOT_SECURE_VERSION',
      min: 0,
    }),
    context: shared.context,
  };
  static override result = pushedFirmwareSchema;

  async run() {
    const input = await this.input(FirmwarePush);
    const { args, flags } = input;
    const context = await contextFor(flags.context);
    const privatePem = await operatorKey(context.name);
    const deviceTypes = flags.types?.split(',').map((type) => type.trim());
    const secureVersion = flags['secure-version'];
    const { name, elf } = flags;
    const asked = { privatePem, deviceTypes, secureVersion, path: args.image, name, elf };
    return this.ask(
      input,
      (client) => pushFirmware({ client, ...asked, validMs: flags.expires }),
      (pushed) =>
        [
          `Pushed ${bold(`${pushed.name}@${pushed.version}`)} to ${context.url}.\n${firmwareFacts(pushed)}`,
          ...(pushed.symbols === null ? [] : [pushedSymbolsText(pushed.symbols)]),
        ].join('\n'),
      ({ name, version, chip }) => [
        ...(chip === null ? [] : [`aiot flash --slot next --firmware ${name}@${version} --port PORT`]),
        `aiot firmware deploy ${name}@${version} --selector all`,
      ],
    );
  }
}
