import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../../lib/cli/command.js';
import { smpFlags, smpOptions, smpWindow } from '../../../lib/cli/flags/boards.js';
import { again } from '../../../lib/cli/invocation.js';
import { uploadedImageText } from '../../../lib/cli/render/board.js';
import { next } from '../../../lib/cli/render/text.js';
import { uploadBoardImage, uploadedImageSchema } from '../../../lib/flash/smp/boards.js';

export default class BoardImageUpload extends AiotCommand {
  static override summary = 'Upload a signed image to the free slot of a board.';
  static override description =
    'Only uploads. To test, check and confirm it too, use aiot board image install. An interrupted upload of the same image continues where the board stopped.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> app.bin --port udp:192.168.1.20',
    '<%= config.bin %> <%= command.id %> app.bin --port /dev/ttyACM0 --json',
  ];
  static override args = {
    file: Args.string({ required: true, description: 'Image from aiot firmware mcuboot sign or imgtool.' }),
  };
  static override flags = {
    image: Flags.integer({
      summary: 'Number of the image, for boards with several.',
      env: 'AIOT_IMAGE',
      min: 0,
      default: 0,
    }),
    window: smpWindow,
    ...smpFlags,
  };
  static override result = uploadedImageSchema;

  async run() {
    const input = await this.input(BoardImageUpload);
    const { args, flags } = input;
    const { update } = this.progress();
    const result = await uploadBoardImage({
      ...smpOptions(flags, this.signal),
      file: args.file,
      image: flags.image,
      window: flags.window,
      onProgress: (done, total) => update({ text: 'uploading', done, total }),
    });
    this.print(uploadedImageText(result));
    this.suggest(next(`aiot board image test ${result.hash.slice(0, 16)}${again(input, 'port')}`));
    return result;
  }
}
