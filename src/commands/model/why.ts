import { Args } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { next } from '../../lib/cli/render/text.js';
import { whyText } from '../../lib/cli/render/versions.js';
import { readTrust } from '../../lib/model/publish/verify.js';
import { whyModel, whySchema } from '../../lib/model/publish/why.js';
import { withClient } from '../../lib/registry/context.js';
import { resolveModel } from '../../lib/registry/reference.js';

export default class ModelWhy extends AiotCommand {
  static override summary =
    'Walk back from a version to the recordings it was trained on, and who made them.';
  static override description =
    'Bundle, quantized network, float network, training, dataset, recordings, devices. What it tells is signed; what nobody wrote down is told as unknown.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> har@3',
    '<%= config.bin %> <%= command.id %> har@production --json',
  ];
  static override args = {
    model: Args.string({
      required: true,
      description: 'NAME@VERSION, NAME@latest, NAME@production, or NAME.',
    }),
  };
  static override flags = { trust: shared.trust, context: shared.context };
  static override result = whySchema;

  async run() {
    const input = await this.input(ModelWhy);
    const { args, flags } = input;
    const trust = await readTrust(flags);
    const why = await withClient(flags.context, async (client) =>
      whyModel(client, await resolveModel(client, args.model), trust),
    );
    this.print(whyText(why));
    this.print(next(`aiot model show ${why.name}@${why.version}${again(input, 'context')}`));
    return why;
  }
}
