import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../../lib/cli/command.js';
import { flashOffset } from '../../../lib/cli/flags/boards.js';
import { partitionsText } from '../../../lib/cli/render/firmware.js';
import { bold, next } from '../../../lib/cli/render/text.js';
import { hex } from '../../../lib/core/figures.js';
import { shellWord } from '../../../lib/core/text.js';
import { createPartitions, partitionsSchema } from '../../../lib/flash/images/partitions.js';
import { flashSizeBytes, flashSizes } from '../../../lib/formats/esp-image/chips.js';

export default class FirmwarePartitionsCreate extends AiotCommand {
  static override summary = 'Create a partition table from a CSV file.';
  static override description =
    'The columns are name, type, subtype, offset, size and flags, as in ESP-IDF. A row with an empty offset follows the previous one, aligned. Rows that overlap each other or the table, are misaligned, or exceed the flash are rejected with their line number.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> partitions.csv partitions.bin',
    '<%= config.bin %> <%= command.id %> partitions.csv partitions.bin --flash-size 4MB --json',
  ];
  static override args = {
    csv: Args.string({
      required: true,
      description: 'CSV file to read, with the columns name,type,subtype,offset,size,flags.',
    }),
    out: Args.string({ required: true, description: 'Partition table file to write.' }),
  };
  static override flags = {
    'flash-size': Flags.option({ options: flashSizes })({
      summary: 'Flash size that the table must fit in.',
      env: 'AIOT_FLASH_SIZE',
    }),
    offset: flashOffset({
      summary: 'Offset of the table in flash [default: 0x8000].',
      env: 'AIOT_OFFSET',
    }),
    md5: Flags.boolean({
      summary: 'Append the MD5 of the rows.',
      env: 'AIOT_MD5',
      allowNo: true,
      default: true,
    }),
  };
  static override result = partitionsSchema;

  async run() {
    const { args, flags } = await this.input(FirmwarePartitionsCreate);
    const result = await createPartitions({
      csv: args.csv,
      out: args.out,
      tableOffset: flags.offset,
      flashBytes: flags['flash-size'] && flashSizeBytes(flags['flash-size']),
      md5: flags.md5,
    });
    this.print(`${bold(result.file)}\n${partitionsText(result)}`);
    this.suggest(next(`aiot flash ${shellWord(`${result.file}@${hex(result.offset)}`)}`));
    return result;
  }
}
