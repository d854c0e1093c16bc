import { Args } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { agreement } from '../../lib/cli/questions.js';
import { next } from '../../lib/cli/render/text.js';
import { signatureText } from '../../lib/cli/render/versions.js';
import { operatorKey } from '../../lib/provision/operator-key.js';
import { contextFor, withClient } from '../../lib/registry/context.js';
import { addSignature, signatureResultSchema } from '../../lib/registry/signatures.js';

export default class TrustSign extends AiotCommand {
  static override summary = 'Add your signature to a release that several have to sign.';
  static override description =
    'Where the root wants more than one targets signature, a push leaves a manifest file instead of a release. This shows what it says and asks before your key signs it; hand it on then: with the last signature that is wanted it is published.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> har-3.7.manifest.json --dry-run',
    '<%= config.bin %> <%= command.id %> har-3.7.manifest.json --context office --yes --json',
  ];
  static override args = {
    file: Args.string({ required: true, description: 'The manifest file that a push left.' }),
  };
  static override flags = { yes: shared.yes, 'dry-run': shared['dry-run'], context: shared.context };
  static override result = signatureResultSchema;

  async run() {
    const input = await this.input(TrustSign);
    const at = again(input, 'context');
    const { args, flags } = input;
    const { name: context } = await contextFor(flags.context);
    const agree = agreement(
      (text) => this.note(text),
      (question) => this.agreed(question, flags.yes),
    );
    const signingKey = () => operatorKey(context);
    const result = await withClient(context, (client) =>
      addSignature({ client, file: args.file, signingKey, agree, dryRun: flags['dry-run'] }),
    );
    this.print(signatureText(result));
    const what = `${result.name}@${result.version}`;
    const deploy = {
      model: `aiot model deploy ${what} --to all${at}`,
      firmware: `aiot firmware deploy ${what} --to all${at}`,
      config: `aiot device config deploy ${what} --to all${at}`,
    };
    this.print(next(result.published ? deploy[result.kind] : `aiot trust sign ${result.file}`));
    return result;
  }
}
