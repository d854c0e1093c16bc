import { AiotCommand } from '../../lib/cli/command.js';
import { cryptArgs, cryptFlags } from '../../lib/cli/flags/boards.js';
import { cryptedText } from '../../lib/cli/render/firmware.js';
import { cryptedSchema, cryptImage } from '../../lib/flash/images/sign.js';

export default class FirmwareDecrypt extends AiotCommand {
  static override summary = 'Decrypt flash that was read from an encrypted chip.';
  static override description =
    'Reverses aiot firmware encrypt, with the same key and address. A wrong key or address is not detected: the result is noise.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> read.bin --key flash.key --address 0x10000 --out app.bin',
    '<%= config.bin %> <%= command.id %> bootloader-read.bin --key flash.key --address 0x0 --out bootloader.bin --json',
  ];
  static override args = cryptArgs;
  static override flags = cryptFlags;
  static override result = cryptedSchema;

  async run() {
    const { args, flags } = await this.input(FirmwareDecrypt);
    const { key, address, out } = flags;
    const result = await cryptImage({ file: args.file, key, address, out, decrypt: true });
    this.print(cryptedText(result));
    return result;
  }
}
