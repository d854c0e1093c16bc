import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { boardLoader, flashFlags } from '../../lib/cli/flags/boards.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { boardErasedText } from '../../lib/cli/render/board.js';
import { next } from '../../lib/cli/render/text.js';
import { boardErasedSchema, eraseBoard } from '../../lib/flash/board.js';

export default class FlashErase extends AiotCommand {
  static override summary = 'Erase a board’s whole flash, or a part of it.';
  static override description =
    'Without OFFSET the whole flash. OFFSET and LENGTH are numbers of whole 4096-byte sectors (0x9000, 24K); in place of OFFSET also a partition’s label. On a chip with secure boot or flash encryption the bootloader is not erased: it could not be written again by cable.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> --port /dev/ttyUSB0',
    '<%= config.bin %> <%= command.id %> nvs --port /dev/ttyUSB0',
    '<%= config.bin %> <%= command.id %> 0x9000 0x6000 --port /dev/ttyUSB0',
  ];
  static override args = {
    offset: Args.string({ description: 'Where, or which partition.' }),
    length: Args.string({ description: 'How many bytes.' }),
  };
  static override flags = {
    port: shared.port,
    yes: shared.yes,
    force: Flags.boolean({
      summary: 'Erase what would be refused, and say what was overridden.',
      env: 'AIOT_FORCE',
      default: false,
    }),
    ...flashFlags,
  };
  static override result = boardErasedSchema;

  async run() {
    const { args, flags } = await this.input(FlashErase);
    const erased = await eraseBoard({
      port: flags.port,
      place: args.offset,
      length: args.length,
      force: flags.force,
      agree: (port) =>
        this.agreeToLose(
          args.offset === undefined
            ? `Erase the whole flash of the board at ${port}: its firmware, its keys and all it has stored?`
            : `Erase ${args.offset} of the board at ${port}?`,
          flags.yes,
        ),
      loader: boardLoader(flags, this.signal, this.progress()),
    });
    this.print(boardErasedText(erased));
    this.print(next('aiot flash app.bin@0x10000'));
    return erased;
  }
}
