import { Args } from '@oclif/core';
import { AiotCommand } from '../../../lib/cli/command.js';
import { flashOffset } from '../../../lib/cli/flags/boards.js';
import { imageText } from '../../../lib/cli/render/firmware.js';
import { bold } from '../../../lib/cli/render/style.js';
import { next } from '../../../lib/cli/render/text.js';
import { shellWord } from '../../../lib/core/text.js';
import { imageInfo, imageInfoSchema } from '../../../lib/flash/images/image-info.js';

export default class FirmwareImageInfo extends AiotCommand {
  static override summary = 'Show what a firmware image holds, and check it.';
  static override description =
    'Chip, flash settings, segments and the application’s own description. Checksum and SHA-256 are computed: a damaged or cut image is refused with the offset and the reason. Reads .bin, Intel HEX and UF2 files; in a merged file, --offset says where the image begins.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> app.bin',
    '<%= config.bin %> <%= command.id %> app.bin --json',
    '<%= config.bin %> <%= command.id %> whole-flash.bin --offset 0x10000',
  ];
  static override args = {
    file: Args.string({ required: true, description: 'An image, or a file that holds one.' }),
  };
  static override flags = {
    offset: flashOffset({ summary: 'Where in the file the image begins.', env: 'AIOT_OFFSET' }),
  };
  static override result = imageInfoSchema;

  async run() {
    const { args, flags } = await this.input(FirmwareImageInfo);
    const result = await imageInfo(args.file, flags.offset);
    this.print(`${bold(result.file)}\n${imageText(result)}`);
    const file = shellWord(`${result.file}@${result.kind === 'app' ? '0x10000' : 'bootloader'}`);
    this.print(
      next(result.format === 'image' && result.offset === 0 ? `aiot flash ${file}` : 'aiot flash --help'),
    );
    return result;
  }
}
