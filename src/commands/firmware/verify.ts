import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { verifiedImageText } from '../../lib/cli/render/firmware.js';
import { verifiedImageSchema, verifyImage } from '../../lib/flash/images/sign.js';

export default class FirmwareVerify extends AiotCommand {
  static override summary = "Verify an image's signatures for secure boot.";
  static override description =
    'Checks each signature of secure boot version 2 with the public key in it. With --key, a signature must be by one of these keys, as a chip requires it to be by a key in its fuses. The command exits with 6 if no signature passes.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> app-signed.bin --key public.pem',
    '<%= config.bin %> <%= command.id %> app-signed.bin --json',
  ];
  static override args = { image: Args.string({ required: true, description: 'Signed image.' }) };
  static override flags = {
    key: Flags.string({
      summary: 'Public or private key that must have signed, PEM. Repeatable.',
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
