import { Args } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { bold } from '../../lib/cli/render/style.js';
import { next } from '../../lib/cli/render/text.js';
import { minute } from '../../lib/cli/render/time.js';
import { size } from '../../lib/core/figures.js';
import { removedModelSchema } from '../../lib/registry/api.js';
import { withClient } from '../../lib/registry/context.js';
import { parseVersion } from '../../lib/registry/reference.js';

export default class ModelRemove extends AiotCommand {
  static override summary = 'Remove a version that nobody uses; its number is never given again.';
  static override description =
    'Refused while it is in production, or while a device runs it or is to run it. What was stored of it goes when no other version has the same content.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> har@3',
    '<%= config.bin %> <%= command.id %> har@3 --json',
  ];
  static override args = { model: Args.string({ required: true, description: 'NAME@VERSION' }) };
  static override flags = { yes: shared.yes, context: shared.context };
  static override result = removedModelSchema;

  async run() {
    const input = await this.input(ModelRemove);
    const { args, flags } = input;
    // A number, so that nothing else is removed than what was meant when somebody pushes in between.
    const { name, version } = parseVersion(args.model);
    const removed = await withClient(flags.context, async (client) => {
      const { bytes, pushed } = await client.models.get(name, version);
      const what = `${name}@${version} (${size(bytes)}, pushed ${minute(pushed)})`;
      await this.agreeToLose(`Remove ${what} for good?`, flags.yes);
      return client.models.remove(name, version);
    });
    const kept = removed.blobRemoved ? '' : ' Its content stays: another version has the same.';
    this.print(`${bold(`${name}@${version}`)} is removed.${kept}`);
    this.print(next(`aiot model list${again(input, 'context')}`));
    return removed;
  }
}
