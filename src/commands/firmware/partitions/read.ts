import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../../lib/cli/command.js';
import { flashOffset } from '../../../lib/cli/flags/boards.js';
import { partitionsText } from '../../../lib/cli/render/firmware.js';
import { bold, next } from '../../../lib/cli/render/text.js';
import { shellWord } from '../../../lib/core/text.js';
import { partitionsSchema, readPartitions } from '../../../lib/flash/images/partitions.js';
import { flashSizeBytes, flashSizes } from '../../../lib/formats/esp-image/chips.js';

export default class FirmwarePartitionsRead extends AiotCommand {
  static override summary = 'Show and check a partition table.';
  static override description =
    'Reads a table from a file, or from an image of a whole flash. A damaged table is rejected with the offset and the reason. Rows that overlap or do not fit are shown with a warning.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> partitions.bin',
    '<%= config.bin %> <%= command.id %> flash.bin --offset 0x8000 --flash-size 4MB --json',
    '<%= config.bin %> <%= command.id %> partitions.bin --out partitions.csv',
  ];
  static override args = {
    file: Args.string({ required: true, description: 'Partition table, or image of a whole flash.' }),
  };
  static override flags = {
    'flash-size': Flags.option({ options: flashSizes })({
      summary: 'Flash size that the table must fit in.',
      env: 'AIOT_FLASH_SIZE',
    }),
    offset: flashOffset({
      summary: 'Offset of the table in flash, and in an image of a whole flash [default: 0x8000].',
      env: 'AIOT_OFFSET',
    }),
    out: Flags.string({
      char: 'o',
      summary: 'Write the table to this file as CSV.',
      env: 'AIOT_OUT',
      helpValue: 'FILE',
    }),
  };
  static override result = partitionsSchema;

  async run() {
    const { args, flags } = await this.input(FirmwarePartitionsRead);
    const result = await readPartitions({
      file: args.file,
      tableOffset: flags.offset,
      flashBytes: flags['flash-size'] && flashSizeBytes(flags['flash-size']),
      out: flags.out,
    });
    this.print(`${bold(result.file)}\n${partitionsText(result)}`);
    if (result.out === null)
      this.suggest(next(`aiot firmware partitions read ${shellWord(args.file)} --out partitions.csv`));
    else this.suggest(next(`aiot firmware partitions create ${shellWord(result.out)} partitions.bin`));
    return result;
  }
}
