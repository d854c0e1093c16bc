import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../../lib/cli/command.js';
import { flashOffset } from '../../../lib/cli/flags/boards.js';
import { nvsMadeText } from '../../../lib/cli/render/provisioned.js';
import { bold } from '../../../lib/cli/render/style.js';
import { next } from '../../../lib/cli/render/text.js';
import { shellWord } from '../../../lib/core/text.js';
import { createNvs, nvsMadeSchema } from '../../../lib/flash/images/nvs.js';

export default class FirmwareNvsCreate extends AiotCommand {
  static override summary = 'Make an NVS partition of a CSV file.';
  static override description =
    'The CSV of ESP-IDF’s generator: key,type,encoding,value with type namespace, data or file. Rows of type file name files beside the CSV. Byte for byte what esp_idf_nvs_partition_gen makes, but that a namespace may be opened again, and a key given twice is refused. The file may hold secrets: only you can read it.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> nvs.csv nvs.bin --size 0x6000',
    '<%= config.bin %> <%= command.id %> nvs.csv nvs.bin --size 24K --nvs-version 1 --json',
    '<%= config.bin %> <%= command.id %> nvs.csv nvs.bin --size 0x6000 --new-keys nvs_keys.bin',
  ];
  static override args = {
    csv: Args.string({ required: true, description: 'The values: key,type,encoding,value.' }),
    out: Args.string({ required: true, description: 'The partition to write.' }),
  };
  static override flags = {
    size: flashOffset({
      summary: 'Size of the partition: whole pages of 4 KiB, one of which stays empty.',
      env: 'AIOT_SIZE',
      required: true,
      helpValue: 'SIZE',
    }),
    'nvs-version': Flags.option({ options: ['1', '2'] as const })({
      summary: 'Format of its pages: with 2, blobs may go over several.',
      default: '2',
      env: 'AIOT_NVS_VERSION',
    }),
    keys: Flags.string({
      summary: 'Encrypt with the keys of this nvs_keys partition.',
      env: 'AIOT_KEYS',
      helpValue: 'FILE',
      exclusive: ['new-keys'],
    }),
    'new-keys': Flags.string({
      summary: 'Encrypt with new keys, and write their nvs_keys partition here.',
      env: 'AIOT_NEW_KEYS',
      helpValue: 'FILE',
    }),
  };
  static override result = nvsMadeSchema;

  async run() {
    const { args, flags } = await this.input(FirmwareNvsCreate);
    const result = await createNvs({
      csv: args.csv,
      out: args.out,
      size: flags.size,
      version: flags['nvs-version'] === '1' ? 1 : 2,
      keys: flags.keys,
      newKeys: flags['new-keys'],
    });
    this.print(`${bold(result.file)}\n${nvsMadeText(result)}`);
    const also = result.keys === null ? '' : ` ${shellWord(`${result.keys}@nvs_keys`)}`;
    this.print(next(`aiot flash ${shellWord(`${result.file}@nvs`)}${also}`));
    return result;
  }
}
