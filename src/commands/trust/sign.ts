import { Args } from '@oclif/core';
import { contextFor, withClient } from '../../lib/api/context.js';
import { addSignature, signatureResultSchema } from '../../lib/api/signatures.js';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { agreement } from '../../lib/cli/questions.js';
import { next } from '../../lib/cli/render/text.js';
import { signatureText } from '../../lib/cli/render/versions.js';
import { operatorKey } from '../../lib/provision/operator-key.js';

export default class TrustSign extends AiotCommand {
  static override summary = 'Add your signature to a release that needs several.';
  static override description =
    'If the root requires several release signatures, a push writes a manifest file instead of a release. This command shows the manifest, and asks for confirmation before it signs the manifest with your key. Then pass the file on: the last required signature publishes the release.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> har-3.7.manifest.json --dry-run',
    '<%= config.bin %> <%= command.id %> har-3.7.manifest.json --context office --yes --json',
  ];
  static override args = {
    file: Args.string({ required: true, description: 'Manifest file written by a push.' }),
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
      model: `aiot model deploy ${what} --selector SELECTOR${at}`,
      firmware: `aiot firmware deploy ${what} --selector all${at}`,
      config: `aiot device config deploy ${what} --selector all${at}`,
    };
    this.suggest(next(result.published ? deploy[result.kind] : `aiot trust sign ${result.file}`));
    return result;
  }
}
