import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../../lib/cli/command.js';
import { firmwareFlags } from '../../../lib/cli/flags/boards.js';
import { imageText } from '../../../lib/cli/render/firmware.js';
import { bold } from '../../../lib/cli/render/style.js';
import { next } from '../../../lib/cli/render/text.js';
import { shellWord } from '../../../lib/core/text.js';
import { imageInfoSchema, patchImage } from '../../../lib/flash/images/image-info.js';

export default class FirmwareImagePatch extends AiotCommand {
  static override summary = 'Copy an image with another flash mode, size or clock.';
  static override description =
    'The SHA-256 at its end is made new; what follows the image in the file stays. Of a bootloader these settings count, of an app nobody looks at them. A signed image loses its signature by this.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> bootloader.bin --flash-mode dio --flash-size 8MB --out bootloader-8mb.bin',
  ];
  static override args = { file: Args.string({ required: true, description: 'The image to copy.' }) };
  static override flags = {
    'flash-mode': firmwareFlags['flash-mode'],
    'flash-size': firmwareFlags['flash-size'],
    'flash-freq': firmwareFlags['flash-freq'],
    out: Flags.string({
      char: 'o',
      summary: 'The file to write.',
      env: 'AIOT_OUT',
      helpValue: 'FILE',
      required: true,
    }),
  };
  static override result = imageInfoSchema;

  async run() {
    const { args, flags } = await this.input(FirmwareImagePatch);
    const mode = flags['flash-mode'];
    const size = flags['flash-size'];
    const frequency = flags['flash-freq'];
    const result = await patchImage({ file: args.file, out: flags.out, mode, size, frequency });
    this.print(`${bold(result.file)}\n${imageText(result)}`);
    this.print(next(`aiot flash ${shellWord(`${result.file}@bootloader`)}`));
    return result;
  }
}
