import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { boardLoader, flashFlags } from '../../lib/cli/flags/boards.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { boardReadText } from '../../lib/cli/render/board.js';
import { next } from '../../lib/cli/render/text.js';
import { hex } from '../../lib/core/figures.js';
import { shellWord } from '../../lib/core/text.js';
import { boardReadSchema, readBoard } from '../../lib/flash/board.js';

export default class BoardRead extends AiotCommand {
  static override summary = "Read flash into a file, verified with the chip's MD5.";
  static override description =
    "OFFSET and LENGTH are numbers (0x8000, 64K). OFFSET can also be a partition's label, `bootloader` or `partition-table`.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> 0x8000 0x1000 --out table.bin --port /dev/ttyUSB0',
    '<%= config.bin %> <%= command.id %> nvs --out nvs.bin',
  ];
  static override args = {
    offset: Args.string({ required: true, description: 'Offset or partition label.' }),
    length: Args.string({
      description: 'Number of bytes [default: the whole partition, or up to the end of the flash].',
    }),
  };
  static override flags = {
    port: shared.port,
    out: Flags.string({
      char: 'o',
      summary: 'File to write.',
      env: 'AIOT_OUT',
      helpValue: 'FILE',
      required: true,
    }),
    ...flashFlags,
  };
  static override result = boardReadSchema;

  async run() {
    const input = await this.input(BoardRead);
    const { args, flags } = input;
    const read = await readBoard({
      port: flags.port,
      place: args.offset,
      length: args.length,
      out: flags.out,
      loader: boardLoader(flags, this.signal, this.steps({ keep: false })),
    });
    this.print(boardReadText(read));
    this.suggest(
      next(`aiot flash verify ${shellWord(`${read.out}@${hex(read.offset)}`)}${again(input, 'port')}`),
    );
    return read;
  }
}
