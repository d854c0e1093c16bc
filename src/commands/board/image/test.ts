import { Args } from '@oclif/core';
import { AiotCommand } from '../../../lib/cli/command.js';
import { smpFlags, smpOptions } from '../../../lib/cli/flags/boards.js';
import { again } from '../../../lib/cli/invocation.js';
import { boardImagesText } from '../../../lib/cli/render/board.js';
import { next } from '../../../lib/cli/render/text.js';
import { boardImagesSchema, testBoardImage } from '../../../lib/flash/smp/boards.js';

export default class BoardImageTest extends AiotCommand {
  static override summary = 'Run an image once, at the next reset of the board.';
  static override description =
    'If the image is not confirmed, MCUboot reverts to the previous one at the reset after that.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> 3f1c9b2a --port udp:192.168.1.20',
    '<%= config.bin %> <%= command.id %> 3f1c9b2a --port /dev/ttyACM0 --json',
  ];
  static override args = {
    hash: Args.string({ required: true, description: 'Hash of the image, or its first digits.' }),
  };
  static override flags = { ...smpFlags };
  static override result = boardImagesSchema;

  async run() {
    const input = await this.input(BoardImageTest);
    const { args, flags } = input;
    const result = await testBoardImage(smpOptions(flags, this.signal), args.hash);
    this.print(boardImagesText(result));
    this.suggest(next(`aiot board reset${again(input, 'port')}`));
    return result;
  }
}
