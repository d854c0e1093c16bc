import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../../lib/cli/command.js';
import { mcubootBoardFlags } from '../../../lib/cli/flags/boards.js';
import { signedMcubootText } from '../../../lib/cli/render/firmware.js';
import { next } from '../../../lib/cli/render/text.js';
import { shellWord } from '../../../lib/core/text.js';
import { signedMcubootSchema, signMcuboot } from '../../../lib/flash/images/mcuboot.js';

export default class FirmwareMcubootSign extends AiotCommand {
  static override summary = 'Turn a program into a signed MCUboot image.';
  static override description =
    "Adds the header, hash, signature and optional conditions that the bootloader MCUboot checks, as imgtool sign does. Zephyr on nRF, STM32 and RP2350 uses it. ECDSA P-256 and P-384, Ed25519, RSA 2048 and RSA 3072 keys are supported; without --key, the image contains only a hash. The BOARD flags describe the board's flash.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> build/zephyr/zephyr.bin --key key.pem --version 1.2.3 --slot-size 0x67000 --out app.bin',
    '<%= config.bin %> <%= command.id %> zephyr.bin --key key.pem --version 2.0.0+7 --slot-size 0x67000 --dependency 1,1.4.0 --security-counter auto --out app.bin',
    '<%= config.bin %> <%= command.id %> zephyr.bin --key key.pem --version 2.0.0 --slot-size 0x67000 --encrypt board-public.pem --out app.bin --json',
  ];
  static override args = {
    program: Args.string({ required: true, description: 'Program (.bin) of a build.' }),
  };
  static override flags = {
    key: Flags.string({ summary: 'Private key, PEM.', env: 'AIOT_KEY', helpValue: 'FILE' }),
    version: Flags.string({
      summary: 'Version of the program.',
      env: 'AIOT_VERSION',
      helpValue: 'MAJOR.MINOR.REVISION+BUILD',
      required: true,
    }),
    'security-counter': Flags.string({
      summary: 'Counter that prevents downgrades, or auto to derive it from the version.',
      env: 'AIOT_SECURITY_COUNTER',
      helpValue: 'N',
    }),
    dependency: Flags.string({
      summary: 'Another image that the board must have, and its lowest version. Repeatable.',
      env: 'AIOT_DEPENDENCY',
      helpValue: 'IMAGE,VERSION',
      multiple: true,
      multipleNonGreedy: true,
      default: [],
    }),
    encrypt: Flags.string({
      summary: 'Encrypt the program for this P-256 or X25519 key, PEM.',
      env: 'AIOT_ENCRYPT',
      helpValue: 'FILE',
    }),
    ...mcubootBoardFlags,
    out: Flags.string({
      char: 'o',
      summary: 'File to write.',
      env: 'AIOT_OUT',
      helpValue: 'FILE',
      required: true,
    }),
  };
  static override result = signedMcubootSchema;

  async run() {
    const { args, flags } = await this.input(FirmwareMcubootSign);
    const signed = await signMcuboot({
      file: args.program,
      out: flags.out,
      key: flags.key,
      version: flags.version,
      securityCounter: flags['security-counter'],
      dependencies: flags.dependency,
      encrypt: flags.encrypt,
      slotBytes: flags['slot-size'],
      headerBytes: flags['header-size'],
      padHeader: flags['pad-header'],
      align: Number(flags.align),
      maxSectors: flags['max-sectors'],
      overwriteOnly: flags['overwrite-only'],
      loadAddress: flags['load-address'],
      pad: flags.pad,
    });
    this.print(signedMcubootText(signed));
    this.suggest(
      next(`aiot firmware verify ${shellWord(signed.file)} --key ${shellWord(flags.key ?? 'key.pem')}`),
    );
    return signed;
  }
}
