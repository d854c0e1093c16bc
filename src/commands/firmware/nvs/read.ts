import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../../lib/cli/command.js';
import { again } from '../../../lib/cli/invocation.js';
import { nvsText } from '../../../lib/cli/render/provisioned.js';
import { bold } from '../../../lib/cli/render/style.js';
import { next } from '../../../lib/cli/render/text.js';
import { shellWord } from '../../../lib/core/text.js';
import { nvsReadSchema, readNvsFile } from '../../../lib/flash/images/nvs.js';

export default class FirmwareNvsRead extends AiotCommand {
  static override summary = 'Show what an NVS partition holds, and check it.';
  static override description =
    'As a generator made it or as it was read from a board, of either version. Every CRC, map and chunk is looked at; a damaged one is refused with the offset and the reason. Values that look secret are hidden from people, and are all in --json and in --out.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> nvs.bin',
    '<%= config.bin %> <%= command.id %> nvs.bin --keys nvs_keys.bin --json',
    '<%= config.bin %> <%= command.id %> nvs.bin --salvage --out nvs.csv',
  ];
  static override args = { file: Args.string({ required: true, description: 'An NVS partition.' }) };
  static override flags = {
    keys: Flags.string({
      summary: 'The nvs_keys partition that it is encrypted with.',
      env: 'AIOT_KEYS',
      helpValue: 'FILE',
    }),
    salvage: Flags.boolean({
      summary: 'Take what can be read of a damaged one, and tell the damage.',
      env: 'AIOT_SALVAGE',
    }),
    'show-secrets': Flags.boolean({
      summary: 'Print passwords and keys too.',
      env: 'AIOT_SHOW_SECRETS',
    }),
    out: Flags.string({
      char: 'o',
      summary: 'Write the values into this CSV file, of which create makes the partition again.',
      env: 'AIOT_OUT',
      helpValue: 'FILE',
    }),
  };
  static override result = nvsReadSchema;

  async run() {
    const input = await this.input(FirmwareNvsRead);
    const { args, flags } = input;
    const { keys, salvage, out } = flags;
    const result = await readNvsFile({ file: args.file, keys, salvage, out });
    this.print(`${bold(result.file)}\n${nvsText(result, flags['show-secrets'])}`);
    const size = `0x${result.bytes.toString(16)}`;
    if (result.out === null)
      this.print(next(`aiot firmware nvs read ${shellWord(args.file)}${again(input, 'keys')} --out nvs.csv`));
    else this.print(next(`aiot firmware nvs create ${shellWord(result.out)} nvs.bin --size ${size}`));
    return result;
  }
}
