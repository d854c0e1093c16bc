import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../../lib/cli/command.js';
import { flashOffset } from '../../../lib/cli/flags/boards.js';
import { partitionsText } from '../../../lib/cli/render/firmware.js';
import { bold } from '../../../lib/cli/render/style.js';
import { next } from '../../../lib/cli/render/text.js';
import { shellWord } from '../../../lib/core/text.js';
import { createPartitions, partitionsSchema } from '../../../lib/flash/images/partitions.js';
import { flashSizeBytes, flashSizes } from '../../../lib/formats/esp-image/chips.js';

export default class FirmwarePartitionsCreate extends AiotCommand {
  static override summary = 'Make a partition table of a CSV file.';
  static override description =
    'Rows of name,type,subtype,offset,size,flags, as ESP-IDF has them. An empty offset follows on, aligned. Rows that overlap, are misaligned, lie over the table or go past the flash are refused with their line.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> partitions.csv partitions.bin',
    '<%= config.bin %> <%= command.id %> partitions.csv partitions.bin --flash-size 4MB --json',
  ];
  static override args = {
    csv: Args.string({ required: true, description: 'The rows: name,type,subtype,offset,size,flags.' }),
    out: Args.string({ required: true, description: 'The table to write.' }),
  };
  static override flags = {
    'flash-size': Flags.option({ options: flashSizes })({
      summary: 'Size of the flash that it has to fit into.',
      env: 'AIOT_FLASH_SIZE',
    }),
    offset: flashOffset({
      summary: 'Where in flash the table will be (0x8000).',
      env: 'AIOT_OFFSET',
    }),
    md5: Flags.boolean({
      summary: 'Close it with the MD5 of its rows.',
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
    this.print(next(`aiot flash ${shellWord(`${result.file}@0x${result.offset.toString(16)}`)}`));
    return result;
  }
}
