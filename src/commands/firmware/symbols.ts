import { Args } from '@oclif/core';
import { pushedSymbolsSchema, pushSymbols } from '../../lib/api/firmware/symbols.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { pushedSymbolsText } from '../../lib/cli/render/crashes.js';

export default class FirmwareSymbols extends PlatformCommand {
  static override summary = "Upload a program's ELF file, to decode its crashes.";
  static override description =
    "The platform then shows the program's crashes with functions, files and lines, including crashes that are already stored. It finds the program by its GNU build ID, or by the SHA-256 of the ELF file (ESP-IDF). Devices never download the file.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> build/motor.elf',
    '<%= config.bin %> <%= command.id %> build/aiot-device --json',
  ];
  static override args = {
    elf: Args.string({ required: true, description: 'Unstripped ELF file, with symbols.' }),
  };
  static override flags = { context: shared.context };
  static override result = pushedSymbolsSchema;

  async run() {
    const input = await this.input(FirmwareSymbols);
    return this.ask(
      input,
      (client) => pushSymbols(client, input.args.elf),
      pushedSymbolsText,
      () => ['aiot device crashes list'],
    );
  }
}
