import { Args } from '@oclif/core';
import { AiotCommand } from '../../../lib/cli/command.js';
import { smpFlags, smpOptions } from '../../../lib/cli/flags/boards.js';
import { boardImagesText } from '../../../lib/cli/render/board.js';
import { boardImagesSchema, confirmBoardImage } from '../../../lib/flash/smp/boards.js';

export default class BoardImageConfirm extends AiotCommand {
  static override summary = 'Confirm the running image of a board.';
  static override description =
    'Without HASH, confirms the running image. With the hash of another image, the board starts that image at the next reset and keeps it without a test. If that image does not work, the board cannot revert.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> --port udp:192.168.1.20',
    '<%= config.bin %> <%= command.id %> 3f1c9b2a --port /dev/ttyACM0',
  ];
  static override args = {
    hash: Args.string({ description: 'Hash of an image, or its first digits [default: the running image].' }),
  };
  static override flags = { ...smpFlags };
  static override result = boardImagesSchema;

  async run() {
    const { args, flags } = await this.input(BoardImageConfirm);
    const result = await confirmBoardImage(smpOptions(flags, this.signal), args.hash);
    this.print(boardImagesText(result));
    return result;
  }
}
