import { Args } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { boardLoader, flashFlags } from '../../lib/cli/flags/boards.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { boardLoadedText } from '../../lib/cli/render/board.js';
import { next } from '../../lib/cli/render/text.js';
import { boardLoadedSchema, loadBoardRam } from '../../lib/flash/board.js';

export default class BoardLoadRam extends AiotCommand {
  static override summary = 'Load a program into RAM and start it.';
  static override description =
    "The ROM loader loads the image's segments and starts the program at its entry point. The flash stays unchanged, and the program runs until the next reset. All segments must be in RAM; an app with code in flash is rejected. A chip with secure boot or in secure download mode rejects the program.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> test.bin --port /dev/ttyUSB0',
    '<%= config.bin %> <%= command.id %> test.bin --port simulated:esp32c3 --json',
  ];
  static override args = {
    image: Args.string({ required: true, description: 'Image whose segments are all in RAM.' }),
  };
  static override flags = { port: shared.port, before: flashFlags.before, trace: flashFlags.trace };
  static override result = boardLoadedSchema;

  async run() {
    const input = await this.input(BoardLoadRam);
    const { args, flags } = input;
    const options = { ...flags, chip: 'auto', baud: 115_200, 'no-stub': true, after: 'no-reset' } as const;
    const result = await loadBoardRam({
      port: flags.port,
      file: args.image,
      loader: boardLoader(options, this.signal, this.steps({ keep: false })),
    });
    this.print(boardLoadedText(result));
    this.suggest(next(`aiot board monitor${again(input, 'port')}`));
    return result;
  }
}
