import { AiotCommand } from '../../../lib/cli/command.js';
import { smpFlags, smpOptions } from '../../../lib/cli/flags/boards.js';
import { boardImagesText } from '../../../lib/cli/render/board.js';
import { boardImagesSchema, listBoardImages } from '../../../lib/flash/smp/boards.js';

export default class BoardImageList extends AiotCommand {
  static override summary = 'List the images in the slots of a board.';
  static override description =
    "For boards with MCUboot and an SMP server, such as Zephyr's MCUmgr on nRF, STM32 and RP2350.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> --port udp:192.168.1.20:1337',
    '<%= config.bin %> <%= command.id %> --port /dev/ttyACM0',
    '<%= config.bin %> <%= command.id %> --port simulated:mcuboot --json',
  ];
  static override flags = { ...smpFlags };
  static override result = boardImagesSchema.shape.images;

  async run() {
    const { flags } = await this.input(BoardImageList);
    const result = await listBoardImages(smpOptions(flags, this.signal));
    this.print(boardImagesText(result));
    return result.images;
  }
}
