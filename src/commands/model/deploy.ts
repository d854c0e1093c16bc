import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { deployedText, deployNotes } from '../../lib/cli/render/rollout.js';
import { next } from '../../lib/cli/render/text.js';
import { operatorKey } from '../../lib/provision/operator-key.js';
import { stages } from '../../lib/registry/api.js';
import { contextFor, withClient } from '../../lib/registry/context.js';
import { resolveModel } from '../../lib/registry/reference.js';
import { deploy, deployedSchema, rolloutExit } from '../../lib/registry/rollouts/deploy.js';
import { releaseOf } from '../../lib/registry/rollouts/release.js';

export default class ModelDeploy extends AiotCommand {
  static override summary = 'Roll a version out to devices, in one wave, and wait for it.';
  static override description =
    'A version that is not the newest is signed anew with your key first: that is how to roll back. Exits with 3 when some devices did not take it, with 1 when none did.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> har@3 --to all',
    "<%= config.bin %> <%= command.id %> har@2 --to 'type=virtual and name!=motor-1' --timeout 5m",
    '<%= config.bin %> <%= command.id %> har --stage production --to all',
  ];
  static override args = {
    model: Args.string({
      required: true,
      description: 'NAME@VERSION, NAME@latest, NAME@production, or NAME.',
    }),
  };
  static override flags = {
    to: Flags.string({
      summary: 'Devices: all, or terms such as type=virtual and name=motor-1.',
      required: true,
      env: 'AIOT_TO',
      helpValue: 'SELECTOR',
    }),
    stage: Flags.option({ options: stages })({
      summary: 'The version of NAME that is in this stage.',
      env: 'AIOT_STAGE',
    }),
    timeout: shared.timeout,
    context: shared.context,
  };
  static override result = deployedSchema;

  async run() {
    const input = await this.input(ModelDeploy);
    const { args, flags } = input;
    const at = again(input, 'context');
    const { name } = await contextFor(flags.context);
    const rollout = await withClient(name, async (client) =>
      deploy({
        release: await releaseOf(
          { client, signingKey: () => operatorKey(name), now: Date.now() },
          'model',
          await resolveModel(client, args.model, flags.stage),
        ),
        ...{ client, selector: flags.to, deadlineMs: flags.timeout, signal: this.signal },
        ...deployNotes((line) => this.note(line)),
      }),
    );
    this.print(deployedText(rollout));
    this.print(next(`aiot device list${at}`, `aiot ota status ${rollout.id}${at}`));
    const code = rolloutExit(rollout);
    if (code !== 0) this.exitsWith(code);
    return rollout;
  }
}
