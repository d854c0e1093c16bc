import { Args } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { bold } from '../../lib/cli/render/style.js';
import { next } from '../../lib/cli/render/text.js';
import { shownContextSchema, useContext } from '../../lib/core/contexts.js';

export default class ContextUse extends AiotCommand {
  static override summary = 'Choose the platform that commands talk to.';
  static override examples = ['<%= config.bin %> <%= command.id %> lab'];
  static override args = { name: Args.string({ required: true, description: 'Name of the context.' }) };
  static override result = shownContextSchema;

  async run() {
    const { args } = await this.input(ContextUse);
    const used = await useContext(args.name);
    this.print(
      `Commands talk to ${bold(used.name)} now: ${used.url}.${next('aiot status', 'aiot device list')}`,
    );
    if (process.env.AIOT_URL)
      this.caution('AIOT_URL is set and goes first: unset it to talk to this platform.');
    return used;
  }
}
