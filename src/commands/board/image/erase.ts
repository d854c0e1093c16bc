import { Flags } from '@oclif/core';
import { AiotCommand } from '../../../lib/cli/command.js';
import { smpFlags, smpOptions } from '../../../lib/cli/flags/boards.js';
import { shared } from '../../../lib/cli/flags/shared.js';
import { boardImagesText } from '../../../lib/cli/render/board.js';
import { boardImagesSchema, eraseBoardImage } from '../../../lib/flash/smp/boards.js';

export default class BoardImageErase extends AiotCommand {
  static override summary = 'Erase the second slot of a board.';
  static override description =
    'The running image is not affected. The board rejects the command while an image is pending or on trial.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> --port udp:192.168.1.20 --yes',
    '<%= config.bin %> <%= command.id %> --port /dev/ttyACM0 --slot 1 --json',
  ];
  static override flags = {
    slot: Flags.integer({ summary: 'Number of the slot.', env: 'AIOT_SLOT', min: 0, default: 1 }),
    yes: shared.yes,
    ...smpFlags,
  };
  static override result = boardImagesSchema;

  async run() {
    const { flags } = await this.input(BoardImageErase);
    await this.agreeToLose(`Erase the image in slot ${flags.slot} of the board?`, flags.yes);
    const result = await eraseBoardImage(smpOptions(flags, this.signal), flags.slot);
    this.print(boardImagesText(result));
    return result;
  }
}
