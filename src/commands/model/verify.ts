import { Args, Flags } from '@oclif/core';
import { withClient } from '../../lib/api/context.js';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { bold, facts, next } from '../../lib/cli/render/text.js';
import { verifiedFacts } from '../../lib/cli/render/versions.js';
import { isModelPath, readTrust, verifyModel, verifyResultSchema } from '../../lib/model/publish/verify.js';

export default class ModelVerify extends AiotCommand {
  static override summary = "Verify a bundle's signature and run its test vectors.";
  static override description =
    'Test vectors are inputs with expected outputs; the model must reproduce them exactly. Checks every byte, and names any changed file. With --trust or --public-key, a file is verified offline.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> har@3',
    '<%= config.bin %> <%= command.id %> har-3/har-3.aiot --trust trust.json',
    '<%= config.bin %> <%= command.id %> har-3.aiot --public-key operator.pub.pem --json',
  ];
  static override args = {
    model: Args.string({
      required: true,
      description: 'A .aiot file, a folder written by aiot model pull, or NAME@VERSION.',
    }),
  };
  static override flags = {
    trust: shared.trust,
    'public-key': Flags.string({
      summary: 'PEM file of the public key that must have signed the bundle.',
      env: 'AIOT_PUBLIC_KEY',
      helpValue: 'FILE',
      exclusive: ['trust'],
    }),
    context: shared.context,
  };
  static override result = verifyResultSchema;

  async run() {
    const input = await this.input(ModelVerify);
    const { args, flags } = input;
    const trust = await readTrust({ trust: flags.trust, key: flags['public-key'] });
    const path = await isModelPath(args.model);
    const options = { what: args.model, path, trust, now: Date.now() };
    const result =
      path && trust
        ? await verifyModel({ ...options, client: null })
        : await withClient(flags.context, (client) => verifyModel({ ...options, client }));
    const id = `${result.name}@${result.version}`;
    this.print(
      `Verified ${bold(result.what)}${result.what === id ? '' : ` (${id})`}: unchanged since it was signed.`,
    );
    this.print(facts(verifiedFacts(result)));
    this.suggest(next(`aiot model lineage ${id}${again(input, 'context')}`));
    return result;
  }
}
