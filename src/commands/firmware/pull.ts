import { Args, Flags } from '@oclif/core';
import { withClient } from '../../lib/api/context.js';
import { pulledFirmwareSchema, pullFirmware } from '../../lib/api/firmware/fetch.js';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { bold, next } from '../../lib/cli/render/text.js';
import { firmwareFacts } from '../../lib/cli/render/versions.js';
import { shellWord } from '../../lib/core/text.js';
import { readTrust } from '../../lib/model/publish/verify.js';

export default class FirmwarePull extends AiotCommand {
  static override summary = 'Download a firmware version and verify its signature.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> motor@3 --out motor-3.bin',
    '<%= config.bin %> <%= command.id %> motor --out motor.bin --trust trust.json --json',
  ];
  static override args = {
    firmware: Args.string({ required: true, description: 'NAME@VERSION, or NAME for the newest.' }),
  };
  static override flags = {
    out: Flags.string({
      char: 'o',
      summary: 'File for the image.',
      required: true,
      env: 'AIOT_OUT',
      helpValue: 'FILE',
    }),
    trust: shared.trust,
    context: shared.context,
  };
  static override result = pulledFirmwareSchema;

  async run() {
    const { args, flags } = await this.input(FirmwarePull);
    const trust = await readTrust(flags);
    const pulled = await withClient(flags.context, (client) =>
      pullFirmware(client, args.firmware, { out: flags.out, trust }),
    );
    this.print(`${bold(`${pulled.name}@${pulled.version}`)} is in ${pulled.file}.\n${firmwareFacts(pulled)}`);
    const file = shellWord(pulled.file);
    this.suggest(
      next(`aiot firmware image info ${file}`, `aiot flash --slot next --firmware ${file} --port PORT`),
    );
    return pulled;
  }
}
