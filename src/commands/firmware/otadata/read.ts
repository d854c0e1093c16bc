import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../../lib/cli/command.js';
import { otadataText } from '../../../lib/cli/render/firmware.js';
import { bold, next } from '../../../lib/cli/render/text.js';
import { shellWord } from '../../../lib/core/text.js';
import { otadataSchema, readOtadataFile } from '../../../lib/flash/images/partitions.js';

export default class FirmwareOtadataRead extends AiotCommand {
  static override summary = 'Show which app slot an otadata partition boots.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> otadata.bin',
    '<%= config.bin %> <%= command.id %> otadata.bin --slots 3 --json',
  ];
  static override args = { file: Args.string({ required: true, description: 'otadata partition file.' }) };
  static override flags = {
    slots: Flags.integer({
      summary: 'Number of app slots in the partition table.',
      default: 2,
      env: 'AIOT_SLOTS',
      helpValue: 'N',
      min: 1,
      max: 16,
    }),
  };
  static override result = otadataSchema;

  async run() {
    const { args, flags } = await this.input(FirmwareOtadataRead);
    const result = await readOtadataFile(args.file, flags.slots);
    this.print(`${bold(result.file)}\n${otadataText(result)}`);
    const other = result.active === null ? 0 : (result.active + 1) % flags.slots;
    const from = shellWord(args.file);
    this.suggest(next(`aiot firmware otadata create next.bin --slot ${other} --from ${from}`));
    return result;
  }
}
