import { AiotCommand } from '../../lib/cli/command.js';
import { boardLoader, flashFlags } from '../../lib/cli/flags/boards.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { boardInfoText } from '../../lib/cli/render/board.js';
import { next } from '../../lib/cli/render/text.js';
import { shellWord } from '../../lib/core/text.js';
import { boardInfo, boardInfoSchema } from '../../lib/flash/board-info.js';

export default class BoardInfo extends AiotCommand {
  static override summary = "Show a board's chip, flash, fuses, apps and settings.";
  static override description =
    'Lists the partitions, the apps with version and build ID, the app that boots, and the keys in NVS. Values that may be secret are not read. Writes nothing. The board is reset into its loader, and afterward back into its program. If the connection has no DTR and RTS (a pty, a socket), hold BOOT and press RESET first.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> --port /dev/ttyUSB0',
    '<%= config.bin %> <%= command.id %> --port socket://127.0.0.1:5555 --json',
    '<%= config.bin %> <%= command.id %> --port "simulated:esp32?flash=backup.bin"',
  ];
  static override flags = { port: shared.port, ...flashFlags };
  static override result = boardInfoSchema;

  async run() {
    const { flags } = await this.input(BoardInfo);
    const info = await boardInfo({
      port: flags.port,
      loader: boardLoader(flags, this.signal, this.steps({ keep: false, lines: false })),
    });
    this.print(boardInfoText(info));
    this.suggest(next(`aiot board dump backup.bin --port ${shellWord(info.port)}`));
    return info;
  }
}
