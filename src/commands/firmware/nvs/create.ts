import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../../lib/cli/command.js';
import { flashOffset } from '../../../lib/cli/flags/boards.js';
import { nvsMadeText } from '../../../lib/cli/render/provisioned.js';
import { bold, next } from '../../../lib/cli/render/text.js';
import { shellWord } from '../../../lib/core/text.js';
import { createNvs, nvsMadeSchema } from '../../../lib/flash/images/nvs.js';

export default class FirmwareNvsCreate extends AiotCommand {
  static override summary = 'Create an NVS partition from a CSV file.';
  static override description =
    "Uses the CSV format of ESP-IDF's generator. The columns are key, type, encoding and value; the type is namespace, data or file. In a file row, the value is a path relative to the CSV file. The result is byte-for-byte identical to that of esp_idf_nvs_partition_gen, except that a namespace may be opened again and duplicate keys are rejected. OUT is readable only by you, because it may contain secrets.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> nvs.csv nvs.bin --size 0x6000',
    '<%= config.bin %> <%= command.id %> nvs.csv nvs.bin --size 24K --nvs-version 1 --json',
    '<%= config.bin %> <%= command.id %> nvs.csv nvs.bin --size 0x6000 --new-keys nvs_keys.bin',
    '<%= config.bin %> <%= command.id %> nvs.csv nvs.bin --size 0x6000 --hmac-key nvs.key',
  ];
  static override args = {
    csv: Args.string({
      required: true,
      description: 'CSV file to read, with the columns key,type,encoding,value.',
    }),
    out: Args.string({ required: true, description: 'Partition file to write.' }),
  };
  static override flags = {
    size: flashOffset({
      summary:
        'Partition size in bytes, such as 0x6000 or 24K: a multiple of 4 KiB. One 4 KiB page stays empty.',
      env: 'AIOT_SIZE',
      required: true,
      helpValue: 'SIZE',
    }),
    'nvs-version': Flags.option({ options: ['1', '2'] as const })({
      summary: 'Format version of the pages; version 2 allows blobs that span pages.',
      default: '2',
      env: 'AIOT_NVS_VERSION',
    }),
    keys: Flags.string({
      summary: 'Encrypt with the keys in this nvs_keys partition.',
      env: 'AIOT_KEYS',
      helpValue: 'FILE',
      exclusive: ['new-keys', 'hmac-key'],
    }),
    'hmac-key': Flags.string({
      summary: 'Encrypt with the keys that a chip derives from this HMAC key (32 bytes).',
      env: 'AIOT_HMAC_KEY',
      helpValue: 'FILE',
      exclusive: ['new-keys'],
    }),
    'new-keys': Flags.string({
      summary: 'Encrypt with new keys, and write their nvs_keys partition to this file.',
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
      hmacKey: flags['hmac-key'],
      newKeys: flags['new-keys'],
    });
    this.print(`${bold(result.file)}\n${nvsMadeText(result)}`);
    const also = result.keys === null ? '' : ` ${shellWord(`${result.keys}@nvs_keys`)}`;
    this.suggest(next(`aiot flash ${shellWord(`${result.file}@nvs`)}${also}`));
    return result;
  }
}
