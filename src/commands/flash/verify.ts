import { Args } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { boardLoader, flashFlags } from '../../lib/cli/flags/boards.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { boardVerifiedText } from '../../lib/cli/render/board.js';
import { boardVerifiedSchema, verifyBoard } from '../../lib/flash/board.js';

export default class FlashVerify extends AiotCommand {
  static override summary = "Compare files with a board's flash, using the chip's MD5.";
  static override description =
    'Writes nothing. OFFSET is a number (0x10000, 64K) or a partition label; HEX and UF2 files need none. Exits with 6 if anything differs.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> app.bin@0x10000 table.bin@0x8000 --port /dev/ttyUSB0',
    '<%= config.bin %> <%= command.id %> backup.bin@0x0 --json',
  ];
  static override strict = false;
  static override args = {
    images: Args.string({ description: 'Any number of FILE@OFFSET.', required: true }),
  };
  static override flags = { port: shared.port, ...flashFlags };
  static override result = boardVerifiedSchema;

  async run() {
    const { flags, words } = await this.input(FlashVerify);
    const verified = await verifyBoard({
      port: flags.port,
      images: words,
      loader: boardLoader(flags, this.signal, this.steps({ keep: false })),
    });
    this.print(boardVerifiedText(verified));
    if (!verified.equal) this.exitsWith(6);
    return verified;
  }
}
