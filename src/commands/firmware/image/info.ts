import { Args } from '@oclif/core';
import { AiotCommand } from '../../../lib/cli/command.js';
import { flashOffset } from '../../../lib/cli/flags/boards.js';
import { imageText } from '../../../lib/cli/render/firmware.js';
import { bold, next } from '../../../lib/cli/render/text.js';
import { shellWord } from '../../../lib/core/text.js';
import { imageInfo, imageInfoSchema } from '../../../lib/flash/images/image-info.js';

export default class FirmwareImageInfo extends AiotCommand {
  static override summary = 'Show and check a firmware image.';
  static override description =
    'Shows the chip, flash settings, segments and application description. Checksum and SHA-256 are recomputed: a damaged or truncated image is rejected with the offset and the reason. Reads .bin, Intel HEX and UF2 files. For a merged file, --offset sets where the image starts.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> app.bin',
    '<%= config.bin %> <%= command.id %> app.bin --json',
    '<%= config.bin %> <%= command.id %> whole-flash.bin --offset 0x10000',
  ];
  static override args = {
    file: Args.string({ required: true, description: 'Image, or a file that contains one.' }),
  };
  static override flags = {
    offset: flashOffset({
      summary: 'Offset of the image in the file [default: detected].',
      env: 'AIOT_OFFSET',
    }),
  };
  static override result = imageInfoSchema;

  async run() {
    const { args, flags } = await this.input(FirmwareImageInfo);
    const result = await imageInfo(args.file, flags.offset);
    this.print(`${bold(result.file)}\n${imageText(result)}`);
    const file = shellWord(`${result.file}@${result.kind === 'app' ? '0x10000' : 'bootloader'}`);
    this.suggest(
      next(result.format === 'image' && result.offset === 0 ? `aiot flash ${file}` : 'aiot flash --help'),
    );
    return result;
  }
}
