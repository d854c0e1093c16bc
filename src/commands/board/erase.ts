import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { boardLoader, flashFlags } from '../../lib/cli/flags/boards.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { boardErasedText } from '../../lib/cli/render/board.js';
import { next } from '../../lib/cli/render/text.js';
import { boardErasedSchema, eraseBoard } from '../../lib/flash/board.js';

export default class BoardErase extends AiotCommand {
  static override summary = "Erase a board's whole flash, or a part of it.";
  static override description =
    'Without OFFSET, erases the whole flash. OFFSET and LENGTH are multiples of 4096 bytes (0x9000, 24K). OFFSET can also be a partition label. On a chip with Secure Boot or flash encryption, the bootloader is not erased, because it could not be rewritten over the cable.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> --port /dev/ttyUSB0',
    '<%= config.bin %> <%= command.id %> nvs --port /dev/ttyUSB0',
    '<%= config.bin %> <%= command.id %> 0x9000 0x6000 --port /dev/ttyUSB0',
  ];
  static override args = {
    offset: Args.string({ description: 'Offset or partition label.' }),
    length: Args.string({
      description: 'Number of bytes [default: the whole partition]; required if OFFSET is a number.',
    }),
  };
  static override flags = {
    port: shared.port,
    yes: shared.yes,
    force: Flags.boolean({
      summary: 'Erase despite a safety check, and list the checks that were overridden.',
      env: 'AIOT_FORCE',
      default: false,
    }),
    ...flashFlags,
  };
  static override result = boardErasedSchema;

  async run() {
    const { args, flags } = await this.input(BoardErase);
    const erased = await eraseBoard({
      port: flags.port,
      place: args.offset,
      length: args.length,
      force: flags.force,
      agree: (port) =>
        this.agreeToLose(
          args.offset === undefined
            ? `Erase the whole flash of the board at ${port}, including its firmware, keys and stored data?`
            : `Erase ${args.offset} of the board at ${port}?`,
          flags.yes,
        ),
      loader: boardLoader(flags, this.signal, this.steps({ keep: false })),
    });
    this.print(boardErasedText(erased));
    this.suggest(next('aiot flash app.bin@0x10000'));
    return erased;
  }
}
