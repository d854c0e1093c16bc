import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../../lib/cli/command.js';
import { shared } from '../../../lib/cli/flags/shared.js';
import { again } from '../../../lib/cli/invocation.js';
import { deployedText, deployNotes } from '../../../lib/cli/render/rollout.js';
import { next } from '../../../lib/cli/render/text.js';
import { operatorKey } from '../../../lib/provision/operator-key.js';
import { resolveConfig } from '../../../lib/registry/config/push.js';
import { contextFor, withClient } from '../../../lib/registry/context.js';
import { deploy, deployedSchema, rolloutExit } from '../../../lib/registry/rollouts/deploy.js';
import { releaseOf } from '../../../lib/registry/rollouts/release.js';

export default class DeviceConfigDeploy extends AiotCommand {
  static override summary = 'Roll a configuration out to devices over the air, in one wave, and wait for it.';
  static override description =
    'Each device checks the signatures, works with the new configuration, and goes back by itself where it cannot, or where its broker is not reached with it. A version that is not the newest is signed anew with your key first: that is how to go back. Exits with 3 when some devices did not take it, with 1 when none did.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> slow@2 --to all',
    "<%= config.bin %> <%= command.id %> slow@1 --to 'type=virtual and name=motor-1' --timeout 5m",
  ];
  static override args = {
    config: Args.string({ required: true, description: 'NAME@VERSION, NAME@latest, or NAME.' }),
  };
  static override flags = {
    to: Flags.string({
      summary: 'Devices: all, or terms such as type=virtual and name=motor-1.',
      required: true,
      env: 'AIOT_TO',
      helpValue: 'SELECTOR',
    }),
    timeout: shared.timeout,
    context: shared.context,
  };
  static override result = deployedSchema;

  async run() {
    const input = await this.input(DeviceConfigDeploy);
    const { args, flags } = input;
    const { name } = await contextFor(flags.context);
    const rollout = await withClient(name, async (client) =>
      deploy({
        release: await releaseOf(
          { client, signingKey: () => operatorKey(name), now: Date.now() },
          'config',
          await resolveConfig(client, args.config),
        ),
        ...{ client, selector: flags.to, deadlineMs: flags.timeout, signal: this.signal },
        ...deployNotes((line) => this.note(line)),
      }),
    );
    this.print(deployedText(rollout));
    const at = again(input, 'context');
    this.print(next(`aiot device list${at}`, `aiot ota status ${rollout.id}${at}`));
    const code = rolloutExit(rollout);
    if (code !== 0) this.exitsWith(code);
    return rollout;
  }
}
