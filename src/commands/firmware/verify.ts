import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { verifiedImageText } from '../../lib/cli/render/firmware.js';
import { verifiedImageSchema, verifyImage } from '../../lib/flash/images/sign.js';

export default class FirmwareVerify extends AiotCommand {
  static override summary = "Verify an image's signatures for secure boot or MCUboot.";
  static override description =
    'Checks each signature of secure boot version 2 with the public key in it. With --key, a signature must be from one of these keys, just as a chip accepts only keys in its fuses. An MCUboot image (Zephyr; nRF, STM32, RP2350) contains only the hash of its key, so --key is required to check its signature. The command exits with 6 if no signature passes.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> app-signed.bin --key public.pem',
    '<%= config.bin %> <%= command.id %> zephyr.signed.bin --key public.pem --json',
  ];
  static override args = { image: Args.string({ required: true, description: 'Signed image.' }) };
  static override flags = {
    key: Flags.string({
      summary: 'Public or private key (PEM) that must have signed the image. Repeatable.',
      env: 'AIOT_KEY',
      helpValue: 'FILE',
      multiple: true,
      multipleNonGreedy: true,
    }),
  };
  static override result = verifiedImageSchema;

  async run() {
    const { args, flags } = await this.input(FirmwareVerify);
    const result = await verifyImage(args.image, flags.key ?? []);
    this.print(verifiedImageText(result));
    if (!result.verified) this.exitsWith(6);
    return result;
  }
}
