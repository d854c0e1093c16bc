import { Args } from '@oclif/core';
import * as z from 'zod';
import { contextFor } from '../../lib/api/context.js';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { next } from '../../lib/cli/render/text.js';
import { removeContext } from '../../lib/core/contexts.js';

export default class ContextRemove extends AiotCommand {
  static override summary = 'Remove a context and its token; the platform is unaffected.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> lab',
    '<%= config.bin %> <%= command.id %> lab --yes',
  ];
  static override args = { name: Args.string({ required: true, description: 'Context name.' }) };
  static override flags = { yes: shared.yes };
  static override result = z.object({ removed: z.string(), current: z.string().nullable() });

  async run() {
    const { args, flags } = await this.input(ContextRemove);
    const { name, url, token } = await contextFor(args.name);
    const what = `${name} (${url})${token ? ' and its token, which is stored nowhere else' : ''}`;
    await this.agreeToLose(`Remove ${what}?`, flags.yes);
    const current = await removeContext(args.name);
    this.print(`Removed ${args.name}. Current context: ${current ?? 'none'}.`);
    this.suggest(next(current ? 'aiot context list' : 'aiot context use NAME'));
    return { removed: args.name, current };
  }
}
