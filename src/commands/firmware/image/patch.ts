import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../../lib/cli/command.js';
import { firmwareFlags } from '../../../lib/cli/flags/boards.js';
import { imageText } from '../../../lib/cli/render/firmware.js';
import { bold, next } from '../../../lib/cli/render/text.js';
import { shellWord } from '../../../lib/core/text.js';
import { imageInfoSchema, patchImage } from '../../../lib/flash/images/image-info.js';

export default class FirmwareImagePatch extends AiotCommand {
  static override summary = 'Copy an image with a new flash mode, size or frequency.';
  static override description =
    'Settings that you do not pass are kept. The SHA-256 at the end is recomputed; data after the image is kept. These settings only take effect in a bootloader. A signed image loses its signature.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> bootloader.bin --flash-mode dio --flash-size 8MB --out bootloader-8mb.bin',
    '<%= config.bin %> <%= command.id %> bootloader.bin --flash-freq 80m --out bootloader-80m.bin',
  ];
  static override args = { file: Args.string({ required: true, description: 'Image to copy.' }) };
  static override flags = {
    'flash-mode': firmwareFlags['flash-mode'],
    'flash-size': firmwareFlags['flash-size'],
    'flash-freq': firmwareFlags['flash-freq'],
    out: Flags.string({
      char: 'o',
      summary: 'File to write.',
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
