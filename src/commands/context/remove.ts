import { Args } from '@oclif/core';
import { z } from 'zod';
import { AiotCommand, next } from '../../lib/cli/index.js';
import { removeContext } from '../../lib/core/index.js';

export default class ContextRemove extends AiotCommand {
  static override summary = 'Forget a platform and its token; the platform itself stays as it is.';
  static override examples = ['<%= config.bin %> <%= command.id %> lab'];
  static override args = { name: Args.string({ required: true, description: 'Name of the context.' }) };
  static override result = z.object({ removed: z.string(), current: z.string().nullable() });

  async run() {
    const { args } = await this.input(ContextRemove);
    const current = await removeContext(args.name);
    this.print(`${args.name} is forgotten; ${current ?? 'no platform'} is in use.`);
    this.print(next(current ? 'aiot context list' : 'aiot context use NAME'));
    return { removed: args.name, current };
  }
}
