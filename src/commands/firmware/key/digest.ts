import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../../lib/cli/command.js';
import { facts } from '../../../lib/cli/render/text.js';
import { keyDigest, keyDigestSchema } from '../../../lib/flash/images/sign.js';

export default class FirmwareKeyDigest extends AiotCommand {
  static override summary = "Compute a key's digest for secure boot.";
  static override description =
    "The digest is burned into the chip's fuses, as espsecure digest-sbv2-public-key computes it. The private key is not needed.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> public.pem',
    '<%= config.bin %> <%= command.id %> public.pem --out digest.bin',
  ];
  static override args = {
    key: Args.string({ required: true, description: 'Public or private key: PEM, or a PKCS#11 URI.' }),
  };
  static override flags = {
    out: Flags.string({ char: 'o', summary: 'File for the 32 bytes.', env: 'AIOT_OUT', helpValue: 'FILE' }),
  };
  static override result = keyDigestSchema;

  async run() {
    const { args, flags } = await this.input(FirmwareKeyDigest);
    const result = await keyDigest(args.key, flags.out);
    const rows: [string, string][] = [
      ['key', result.key],
      ['digest', result.digest],
    ];
    if (result.out !== null) rows.push(['written to', result.out]);
    this.print(facts(rows));
    return result;
  }
}
