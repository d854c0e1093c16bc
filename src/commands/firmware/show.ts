import { Args } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { bold } from '../../lib/cli/render/style.js';
import { next } from '../../lib/cli/render/text.js';
import { firmwareFacts } from '../../lib/cli/render/versions.js';
import { withClient } from '../../lib/registry/context.js';
import { resolveFirmware } from '../../lib/registry/firmware/fetch.js';
import { firmwareVersionSchema } from '../../lib/registry/firmware-api.js';

export default class FirmwareShow extends AiotCommand {
  static override summary = 'Show one version of a firmware: its image, chip and program.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> motor@3',
    '<%= config.bin %> <%= command.id %> motor --json',
  ];
  static override args = {
    firmware: Args.string({ required: true, description: 'NAME@VERSION, or NAME for the newest.' }),
  };
  static override flags = { context: shared.context };
  static override result = firmwareVersionSchema;

  async run() {
    const input = await this.input(FirmwareShow);
    const card = await withClient(input.flags.context, async (client) => {
      const { name, version } = await resolveFirmware(client, input.args.firmware);
      return client.firmware.get(name, version);
    });
    const what = `${card.name}@${card.version}`;
    this.print(`${bold(what)}\n${firmwareFacts(card)}`);
    const at = again(input, 'context');
    this.print(next(`aiot flash --slot next --firmware ${what} --port PORT${at}`, `aiot firmware list${at}`));
    return card;
  }
}
