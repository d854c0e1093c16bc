import { Args } from '@oclif/core';
import { resolveConfig } from '../../../lib/api/config/push.js';
import { configVersionSchema } from '../../../lib/api/contract/releases.js';
import { shared } from '../../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../../lib/cli/platform-command.js';
import { bold } from '../../../lib/cli/render/text.js';
import { configFacts } from '../../../lib/cli/render/versions.js';

export default class DeviceConfigShow extends PlatformCommand {
  static override summary = 'Show one configuration version, including defaults.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> slow@2',
    '<%= config.bin %> <%= command.id %> slow --json',
  ];
  static override args = {
    config: Args.string({ required: true, description: 'NAME@VERSION, or NAME for the newest.' }),
  };
  static override flags = { context: shared.context };
  static override result = configVersionSchema;

  async run() {
    const input = await this.input(DeviceConfigShow);
    return this.ask(
      input,
      async (client) => {
        const { name, version } = await resolveConfig(client, input.args.config);
        return client.configs.get(name, version);
      },
      (card) => `${bold(`${card.name}@${card.version}`)}\n${configFacts(card)}`,
      ({ name, version }) => [`aiot device config deploy ${name}@${version} --selector all`],
    );
  }
}
