import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../../lib/cli/command.js';
import { again } from '../../../lib/cli/invocation.js';
import { nvsText } from '../../../lib/cli/render/provisioned.js';
import { bold, next } from '../../../lib/cli/render/text.js';
import { hex } from '../../../lib/core/figures.js';
import { shellWord } from '../../../lib/core/text.js';
import { nvsReadSchema, readNvsFile } from '../../../lib/flash/images/nvs.js';

export default class FirmwareNvsRead extends AiotCommand {
  static override summary = 'Show and check an NVS partition.';
  static override description =
    'Reads partitions of either version, from a generator or from a board. Every CRC, map and chunk is checked: a damaged partition is rejected with the offset and the reason. Values that look like secrets are masked on the terminal, but not in --json or --out.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> nvs.bin',
    '<%= config.bin %> <%= command.id %> nvs.bin --keys nvs_keys.bin --json',
    '<%= config.bin %> <%= command.id %> nvs.bin --salvage --out nvs.csv',
  ];
  static override args = { file: Args.string({ required: true, description: 'NVS partition file.' }) };
  static override flags = {
    keys: Flags.string({
      summary: 'nvs_keys partition with the encryption keys.',
      env: 'AIOT_KEYS',
      helpValue: 'FILE',
    }),
    'hmac-key': Flags.string({
      summary: 'HMAC key (32 bytes) from which the chip derives the encryption keys.',
      env: 'AIOT_HMAC_KEY',
      helpValue: 'FILE',
      exclusive: ['keys'],
    }),
    salvage: Flags.boolean({
      summary: 'Read as much as possible of a damaged partition, and list the damage.',
      env: 'AIOT_SALVAGE',
    }),
    'show-secrets': Flags.boolean({
      summary: 'Also print passwords and keys.',
      env: 'AIOT_SHOW_SECRETS',
    }),
    out: Flags.string({
      char: 'o',
      summary: 'Write the values to a CSV file that aiot firmware nvs create can read.',
      env: 'AIOT_OUT',
      helpValue: 'FILE',
    }),
  };
  static override result = nvsReadSchema;

  async run() {
    const input = await this.input(FirmwareNvsRead);
    const { args, flags } = input;
    const { keys, salvage, out } = flags;
    const result = await readNvsFile({ file: args.file, keys, hmacKey: flags['hmac-key'], salvage, out });
    this.print(`${bold(result.file)}\n${nvsText(result, flags['show-secrets'])}`);
    const size = hex(result.bytes);
    if (result.out === null)
      this.suggest(
        next(
          `aiot firmware nvs read ${shellWord(args.file)}${again(input, 'keys', 'hmac-key')} --out nvs.csv`,
        ),
      );
    else this.suggest(next(`aiot firmware nvs create ${shellWord(result.out)} nvs.bin --size ${size}`));
    return result;
  }
}
