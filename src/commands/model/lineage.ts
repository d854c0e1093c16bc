import { Args } from '@oclif/core';
import { resolveModel } from '../../lib/api/reference.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { whyText } from '../../lib/cli/render/versions.js';
import { readTrust } from '../../lib/model/publish/verify.js';
import { whyModel, whySchema } from '../../lib/model/publish/why.js';

export default class ModelLineage extends PlatformCommand {
  static override summary = 'Trace a model version back to its recordings.';
  static override description =
    'Shows the bundle, quantized model, float model, training, dataset, recordings and devices. Everything comes from the signed bundle; anything not recorded is shown as unknown.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> har@3',
    '<%= config.bin %> <%= command.id %> har@production --json',
  ];
  static override args = {
    model: Args.string({
      required: true,
      description: 'NAME@VERSION, NAME@latest, NAME@production, or NAME if the model has only one version.',
    }),
  };
  static override flags = { trust: shared.trust, context: shared.context };
  static override result = whySchema;

  async run() {
    const input = await this.input(ModelLineage);
    const trust = await readTrust(input.flags);
    return this.ask(
      input,
      async (client) => whyModel(client, await resolveModel(client, input.args.model), trust),
      whyText,
      ({ name, version }) => [`aiot model show ${name}@${version}`],
    );
  }
}
