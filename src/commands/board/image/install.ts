import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../../lib/cli/command.js';
import { smpFlags, smpOptions, smpWindow } from '../../../lib/cli/flags/boards.js';
import { duration } from '../../../lib/cli/flags/shared.js';
import { again } from '../../../lib/cli/invocation.js';
import { installedImageText } from '../../../lib/cli/render/board.js';
import { next } from '../../../lib/cli/render/text.js';
import { installBoardImage, installedImageSchema } from '../../../lib/flash/smp/boards.js';

export default class BoardImageInstall extends AiotCommand {
  static override summary = 'Install a signed image on a board.';
  static override description =
    'Uploads the image, starts it on trial, checks that the board runs it, and confirms it. If it does not keep running, MCUboot reverts to the previous image, and the command exits with 1.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> app.bin --port udp:192.168.1.20',
    '<%= config.bin %> <%= command.id %> app.bin --port /dev/ttyACM0 --soak 1m',
    '<%= config.bin %> <%= command.id %> app.bin --port simulated:mcuboot --json',
  ];
  static override args = {
    file: Args.string({ required: true, description: 'Image from aiot firmware mcuboot sign or imgtool.' }),
  };
  static override flags = {
    confirm: Flags.boolean({
      summary: 'Confirm the image if it runs.',
      env: 'AIOT_CONFIRM',
      allowNo: true,
      default: true,
    }),
    image: Flags.integer({
      summary: 'Number of the image, for boards with several.',
      env: 'AIOT_IMAGE',
      min: 0,
      default: 0,
    }),
    soak: duration({
      summary: 'How long the image must run before it is confirmed.',
      env: 'AIOT_SOAK',
      default: 5000,
    }),
    restart: duration({
      summary: 'How long the board may take to restart.',
      env: 'AIOT_RESTART',
      default: 120_000,
    }),
    window: smpWindow,
    ...smpFlags,
  };
  static override result = installedImageSchema;

  async run() {
    const input = await this.input(BoardImageInstall);
    const { args, flags } = input;
    const { update } = this.steps();
    const result = await installBoardImage({
      ...smpOptions(flags, this.signal),
      file: args.file,
      image: flags.image,
      window: flags.window,
      confirm: flags.confirm,
      soakMs: flags.soak,
      restartMs: flags.restart,
      onProgress: (done, total) => update({ text: 'uploading', done, total }),
      onStep: (text) => update({ text }),
    });
    this.print(installedImageText(result));
    this.suggest(next(`aiot board image list${again(input, 'port')}`));
    return result;
  }
}
