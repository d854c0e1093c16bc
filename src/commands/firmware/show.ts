import { Args } from '@oclif/core';
import { firmwareVersionSchema } from '../../lib/api/contract/releases.js';
import { resolveFirmware } from '../../lib/api/firmware/fetch.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { bold } from '../../lib/cli/render/text.js';
import { firmwareFacts } from '../../lib/cli/render/versions.js';

export default class FirmwareShow extends PlatformCommand {
  static override summary = 'Show one firmware version: its image, chip and program.';
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
    return this.ask(
      input,
      async (client) => {
        const { name, version } = await resolveFirmware(client, input.args.firmware);
        return client.firmware.get(name, version);
      },
      (card) => `${bold(`${card.name}@${card.version}`)}\n${firmwareFacts(card)}`,
      ({ name, version }) => [
        `aiot flash --slot next --firmware ${name}@${version} --port PORT`,
        'aiot firmware list',
      ],
    );
  }
}
