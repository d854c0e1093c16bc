import { AiotCommand } from '../../lib/cli/command.js';
import { boardLoader, flashFlags } from '../../lib/cli/flags/boards.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { boardRunText } from '../../lib/cli/render/board.js';
import { next } from '../../lib/cli/render/text.js';
import { boardRunSchema, runBoard } from '../../lib/flash/board.js';

export default class BoardRun extends AiotCommand {
  static override summary = "Start the program in a board's flash.";
  static override description =
    'For a board that waits in its loader, for example after --after no-reset. If the connection has no DTR and RTS (a pty, a socket), pass --after soft-reset with --no-stub, or press RESET.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> --port /dev/ttyUSB0',
    '<%= config.bin %> <%= command.id %> --no-stub --after soft-reset --port socket://127.0.0.1:5555',
  ];
  static override flags = { port: shared.port, ...flashFlags };
  static override result = boardRunSchema;

  async run() {
    const input = await this.input(BoardRun);
    const { flags } = input;
    const result = await runBoard({
      port: flags.port,
      loader: boardLoader(flags, this.signal, this.steps({ keep: false })),
    });
    this.print(boardRunText(result));
    this.suggest(next(`aiot board monitor${again(input, 'port')}`));
    return result;
  }
}
