import { Args } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { bold, next } from '../../lib/cli/render/text.js';
import { shownContextSchema, useContext } from '../../lib/core/contexts.js';

export default class ContextUse extends AiotCommand {
  static override summary = 'Choose the platform that commands use.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> lab',
    '<%= config.bin %> <%= command.id %> production --json',
  ];
  static override args = { name: Args.string({ required: true, description: 'Context name.' }) };
  static override result = shownContextSchema;

  async run() {
    const { args } = await this.input(ContextUse);
    const used = await useContext(args.name);
    this.print(`Commands now use ${bold(used.name)}: ${used.url}.`);
    this.suggest(next('aiot status', 'aiot device list'));
    if (process.env.AIOT_URL)
      this.caution('AIOT_URL is set and takes precedence: unset it to use this platform.');
    return used;
  }
}
