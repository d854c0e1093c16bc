import { Args } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { boardLoader, flashFlags } from '../../lib/cli/flags/boards.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { boardDumpedText } from '../../lib/cli/render/board.js';
import { next } from '../../lib/cli/render/text.js';
import { shellWord } from '../../lib/core/text.js';
import { boardDumpedSchema, dumpBoard } from '../../lib/flash/board.js';

export default class BoardDump extends AiotCommand {
  static override summary = "Read a board's whole flash into a file; resumable.";
  static override description =
    "Each part is verified with the chip's MD5. An interrupted dump leaves FILE.part; repeat the command to continue. The file contains the board's keys, so only you can read it.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> backup.bin',
    '<%= config.bin %> <%= command.id %> backup.bin --port /dev/ttyUSB0 --baud 460800',
  ];
  static override args = { file: Args.string({ required: true, description: 'File to write.' }) };
  static override flags = { port: shared.port, ...flashFlags };
  static override result = boardDumpedSchema;

  async run() {
    const input = await this.input(BoardDump);
    const { args, flags } = input;
    const dumped = await dumpBoard({
      port: flags.port,
      out: args.file,
      loader: boardLoader(flags, this.signal, this.steps({ keep: false })),
    });
    this.print(boardDumpedText(dumped));
    this.suggest(
      next(
        `aiot firmware inspect ${shellWord(dumped.out)}`,
        `aiot flash ${shellWord(`${dumped.out}@0x0`)}${again(input, 'port')}`,
      ),
    );
    return dumped;
  }
}
