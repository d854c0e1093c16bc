import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../../lib/cli/command.js';
import { firmwareFlags } from '../../../lib/cli/flags/boards.js';
import { imageText } from '../../../lib/cli/render/firmware.js';
import { bold, next } from '../../../lib/cli/render/text.js';
import { shellWord } from '../../../lib/core/text.js';
import { imageInfoSchema, patchImage } from '../../../lib/flash/images/image-info.js';

export default class FirmwareImagePatch extends AiotCommand {
  static override summary = 'Copy an image with new flash settings or secure version.';
  static override description =
    'Settings that you do not pass are kept. The SHA-256 at the end is recomputed; data after the image is kept. Flash settings take effect only in a bootloader, and the secure version (anti-rollback) only in an app. A signed image loses its signature, so patch it before you sign it.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> bootloader.bin --flash-mode dio --flash-size 8MB --out bootloader-8mb.bin',
    '<%= config.bin %> <%= command.id %> bootloader.bin --flash-freq 80m --out bootloader-80m.bin',
    '<%= config.bin %> <%= command.id %> app.bin --secure-version 3 --out app-3.bin',
  ];
  static override args = { file: Args.string({ required: true, description: 'Image to copy.' }) };
  static override flags = {
    'flash-mode': firmwareFlags['flash-mode'],
    'flash-size': firmwareFlags['flash-size'],
    'flash-freq': firmwareFlags['flash-freq'],
    'secure-version': Flags.integer({
      summary: 'Anti-rollback version of an app, as CONFIG_BOOTLOADER_APP_SECURE_VERSION.',
      env: 'AIOT_SECURE_VERSION',
      helpValue: 'N',
      min: 0,
    }),
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
    const secureVersion = flags['secure-version'];
    const { file } = args;
    const result = await patchImage({ file, out: flags.out, mode, size, frequency, secureVersion });
    this.print(`${bold(result.file)}\n${imageText(result)}`);
    const out = shellWord(result.file);
    const signing = `aiot firmware sign ${out} --key secure.pem --out signed.bin`;
    this.suggest(next(result.kind === 'app' ? signing : `aiot flash ${out}@bootloader`));
    return result;
  }
}
