import { Args } from '@oclif/core';
import { AiotCommand } from '../../../lib/cli/command.js';
import { shared } from '../../../lib/cli/flags/shared.js';
import { again } from '../../../lib/cli/invocation.js';
import { bold } from '../../../lib/cli/render/style.js';
import { next } from '../../../lib/cli/render/text.js';
import { configFacts } from '../../../lib/cli/render/versions.js';
import { resolveConfig } from '../../../lib/registry/config/push.js';
import { configVersionSchema } from '../../../lib/registry/config-api.js';
import { withClient } from '../../../lib/registry/context.js';

export default class DeviceConfigShow extends AiotCommand {
  static override summary = 'Show one version of a configuration: what it sets, with what holds besides.';
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
    const card = await withClient(input.flags.context, async (client) => {
      const { name, version } = await resolveConfig(client, input.args.config);
      return client.configs.get(name, version);
    });
    const what = `${card.name}@${card.version}`;
    this.print(`${bold(what)}\n${configFacts(card)}`);
    this.print(next(`aiot device config deploy ${what} --to all${again(input, 'context')}`));
    return card;
  }
}
