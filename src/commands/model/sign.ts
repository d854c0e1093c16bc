import { Args } from '@oclif/core';
import { contextFor, withClient } from '../../lib/api/context.js';
import { parseVersion } from '../../lib/api/reference.js';
import { AiotCommand } from '../../lib/cli/command.js';
import { releaseFlags } from '../../lib/cli/flags/rollouts.js';
import { duration, shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { agreement } from '../../lib/cli/questions.js';
import { bold, facts, next } from '../../lib/cli/render/text.js';
import { size } from '../../lib/core/figures.js';
import { defaultDeviceTypes, signModel, signResultSchema } from '../../lib/model/publish/push.js';
import { operatorKey } from '../../lib/provision/operator-key.js';

export default class ModelSign extends AiotCommand {
  static override summary = 'Sign a version that is unsigned or whose key was replaced.';
  static override description =
    'Versions uploaded by unauthenticated clients (aiot up --compat architects-guide) can be listed and downloaded, but not promoted or rolled out until signed. The content is downloaded and checked; a .tflite file is wrapped in a bundle. Versions signed with a replaced key, or by others, are signed again unchanged, after their digest and signers are checked. The signing key stays on this machine.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> guide@3',
    '<%= config.bin %> <%= command.id %> guide@3 --types esp32 --json',
    '<%= config.bin %> <%= command.id %> har@3 --yes',
  ];
  static override args = {
    model: Args.string({ required: true, description: 'NAME@VERSION.' }),
  };
  static override flags = {
    ...releaseFlags(defaultDeviceTypes),
    expires: duration({
      summary:
        "Validity period of the new signature, such as 720h; devices reject the version afterward [default: the previous signature's, else unlimited].",
      env: 'AIOT_EXPIRES',
    }),
    yes: shared.yes,
    context: shared.context,
  };
  static override result = signResultSchema;

  async run() {
    const input = await this.input(ModelSign);
    const { flags } = input;
    const at = again(input, 'context');
    const model = parseVersion(input.args.model);
    const context = await contextFor(flags.context);
    const privatePem = await operatorKey(context.name);
    const deviceTypes = flags.types.split(',').map((type) => type.trim());
    const result = await withClient(context.name, (client) =>
      signModel({
        ...{ client, model, privatePem, deviceTypes, validMs: flags.expires },
        agree: agreement(
          (text) => this.note(text),
          (question) => this.agreed(question, flags.yes),
        ),
      }),
    );
    const id = `${result.name}@${result.version}`;
    this.print(`${bold(id)} ${result.unchanged ? 'was already signed' : 'is signed'}.`);
    this.print(
      facts([
        ['Bundle', `${size(result.bytes)}, ${result.digest}`],
        ['Received as', result.origin ? `${result.origin.file} (${result.origin.digest})` : 'a signed push'],
        ['Signed', `manifest ${result.sequence}`],
      ]),
    );
    this.suggest(next(`aiot model verify ${id}${at}`, `aiot model promote ${id} --to staging${at}`));
    return result;
  }
}
