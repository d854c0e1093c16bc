import { Args } from '@oclif/core';
import { removedModelSchema } from '../../lib/api/api.js';
import { parseVersion } from '../../lib/api/reference.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { bold, minute } from '../../lib/cli/render/text.js';
import { size } from '../../lib/core/figures.js';

export default class ModelRemove extends PlatformCommand {
  static override summary = 'Remove an unused model version.';
  static override description =
    'Fails while the version is in production, or while a device runs it or is assigned to run it. Stored content is deleted unless another version has the same content. The version number is never reused.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> har@3',
    '<%= config.bin %> <%= command.id %> har@3 --json',
  ];
  static override args = { model: Args.string({ required: true, description: 'NAME@VERSION.' }) };
  static override flags = { yes: shared.yes, context: shared.context };
  static override result = removedModelSchema;

  async run() {
    const input = await this.input(ModelRemove);
    // A version number is required, so that a concurrent push cannot change which version is removed.
    const { name, version } = parseVersion(input.args.model);
    return this.ask(
      input,
      async ({ models }) => {
        const { bytes, pushed } = await models.get(name, version);
        const what = `${name}@${version} (${size(bytes)}, pushed ${minute(pushed)})`;
        await this.agreeToLose(`Permanently remove ${what}?`, input.flags.yes);
        return models.remove(name, version);
      },
      ({ blobRemoved }) => {
        const kept = blobRemoved ? '' : ' Its content stays, because another version uses it.';
        return `Removed ${bold(`${name}@${version}`)}.${kept}`;
      },
      () => ['aiot model list'],
    );
  }
}
