import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { signedImageText } from '../../lib/cli/render/firmware.js';
import { next } from '../../lib/cli/render/text.js';
import { shellWord } from '../../lib/core/text.js';
import { bootSchemes, signedImageSchema, signImage } from '../../lib/flash/images/sign.js';

export default class FirmwareSign extends AiotCommand {
  static override summary = "Sign an image for a chip's secure boot.";
  static override description =
    'Version 2 accepts RSA 3072, ECDSA P-256 and P-384 keys, and up to three signatures; an already signed image keeps its signatures. Version 1, which only the ESP32 supports, accepts one ECDSA P-256 key. The result is the same as that of espsecure sign-data. A key can remain in a hardware security module: pass its PKCS#11 URI (requires pkcs11-tool). For MCUboot (nRF, STM32, RP2350), use aiot firmware mcuboot sign. Releases for updates over the air are signed by aiot firmware push, with other keys.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> app.bin --key secure.pem --secure-boot v2 --out app-signed.bin',
    '<%= config.bin %> <%= command.id %> app.bin --key first.pem --key second.pem --out app-signed.bin',
    "<%= config.bin %> <%= command.id %> app.bin --key 'pkcs11:token=plant;object=boot?module-path=/usr/lib/hsm.so' --out app-signed.bin",
  ];
  static override args = { image: Args.string({ required: true, description: 'App or bootloader image.' }) };
  static override flags = {
    key: Flags.string({
      summary: 'Private key: PEM, or a PKCS#11 URI. Repeatable.',
      env: 'AIOT_KEY',
      helpValue: 'FILE',
      required: true,
      multiple: true,
      multipleNonGreedy: true,
    }),
    'secure-boot': Flags.option({ options: bootSchemes, default: 'v2' as const })({
      summary: 'Version of secure boot.',
      env: 'AIOT_SECURE_BOOT',
    }),
    out: Flags.string({
      char: 'o',
      summary: 'File to write.',
      env: 'AIOT_OUT',
      helpValue: 'FILE',
      required: true,
    }),
  };
  static override result = signedImageSchema;

  async run() {
    const { args, flags } = await this.input(FirmwareSign);
    const signed = await signImage({
      file: args.image,
      keys: flags.key,
      scheme: flags['secure-boot'],
      out: flags.out,
    });
    this.print(signedImageText(signed));
    if (signed.scheme === 'v2') this.suggest(next(`aiot firmware verify ${shellWord(signed.file)}`));
    return signed;
  }
}
