import { AiotCommand } from '../../lib/cli/command.js';
import { smpFlags, smpOptions } from '../../lib/cli/flags/boards.js';
import { again } from '../../lib/cli/invocation.js';
import { next } from '../../lib/cli/render/text.js';
import { boardResetSchema, restartBoard } from '../../lib/flash/smp/boards.js';

export default class BoardReset extends AiotCommand {
  static override summary = 'Reset a board over SMP.';
  static override description =
    'For boards whose firmware contains an SMP server, such as one with Zephyr. Restart an ESP board with `aiot board run` instead. The command ends when the board has restarted and responds again. MCUboot starts a pending image, and reverts an image that is not confirmed.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> --port udp:192.168.1.20',
    '<%= config.bin %> <%= command.id %> --port /dev/ttyACM0 --json',
  ];
  static override flags = { ...smpFlags };
  static override result = boardResetSchema;

  async run() {
    const input = await this.input(BoardReset);
    const { flags } = input;
    const result = await restartBoard(smpOptions(flags, this.signal));
    this.print(`${result.port} was reset and is responding.`);
    this.suggest(next(`aiot board image list${again(input, 'port')}`));
    return result;
  }
}
