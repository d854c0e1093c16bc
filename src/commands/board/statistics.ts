import { AiotCommand } from '../../lib/cli/command.js';
import { smpFlags, smpOptions } from '../../lib/cli/flags/boards.js';
import { boardStatisticsText } from '../../lib/cli/render/board.js';
import { boardStatisticsSchema, readBoardStatistics } from '../../lib/flash/smp/boards.js';

export default class BoardStatistics extends AiotCommand {
  static override summary = 'Show the statistics of a board over SMP.';
  static override description =
    'For boards whose firmware contains an SMP server, such as one with Zephyr. For an ESP board, see `aiot board info`.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> --port udp:192.168.1.20',
    '<%= config.bin %> <%= command.id %> --port /dev/ttyACM0 --json',
  ];
  static override flags = { ...smpFlags };
  static override result = boardStatisticsSchema;

  async run() {
    const { flags } = await this.input(BoardStatistics);
    const result = await readBoardStatistics(smpOptions(flags, this.signal));
    this.print(boardStatisticsText(result.groups));
    return result;
  }
}
