import { Args } from '@oclif/core';
import { resolveModel } from '../../lib/api/reference.js';
import { showModel, shownModelSchema } from '../../lib/api/show.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { modelText } from '../../lib/cli/render/versions.js';

export default class ModelShow extends PlatformCommand {
  static override summary = 'Show one version: metrics, lineage and device status.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> har@3',
    '<%= config.bin %> <%= command.id %> har@3 --json',
  ];
  static override args = {
    model: Args.string({
      required: true,
      description: 'NAME@VERSION, NAME@latest, NAME@production, or NAME if the model has only one version.',
    }),
  };
  static override flags = { context: shared.context };
  static override result = shownModelSchema;

  async run() {
    const input = await this.input(ModelShow);
    return this.ask(
      input,
      async (client) => showModel(client, await resolveModel(client, input.args.model)),
      modelText,
      ({ name, version }) => [
        `aiot model deploy ${name}@${version} --selector SELECTOR`,
        `aiot model lineage ${name}@${version}`,
      ],
    );
  }
}
