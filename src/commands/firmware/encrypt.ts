import { AiotCommand } from '../../lib/cli/command.js';
import { cryptArgs, cryptFlags } from '../../lib/cli/flags/boards.js';
import { cryptedText } from '../../lib/cli/render/firmware.js';
import { cryptedSchema, cryptImage } from '../../lib/flash/images/sign.js';

export default class FirmwareEncrypt extends AiotCommand {
  static override summary = 'Encrypt a file as flash encryption stores it.';
  static override description =
    'Use it for a chip that already encrypts its flash, with a key that you have. The cipher is AES-XTS, as in all chips except the ESP32. The result depends on the address, so pass the address that you flash to. The file is padded with FF to a multiple of 16 bytes.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> app-signed.bin --key flash.key --address 0x10000 --out app-encrypted.bin',
    '<%= config.bin %> <%= command.id %> bootloader-signed.bin --key flash.key --address 0x0 --out bootloader-encrypted.bin --json',
  ];
  static override args = cryptArgs;
  static override flags = cryptFlags;
  static override result = cryptedSchema;

  async run() {
    const { args, flags } = await this.input(FirmwareEncrypt);
    const { key, address, out } = flags;
    const result = await cryptImage({ file: args.file, key, address, out, decrypt: false });
    this.print(cryptedText(result));
    return result;
  }
}
