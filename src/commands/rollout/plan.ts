import { Flags } from '@oclif/core';
import { contextFor, withClient } from '../../lib/api/context.js';
import { rolloutRequest } from '../../lib/api/rollouts/request.js';
import { rolloutPlanSchema } from '../../lib/api/rollouts/schema.js';
import { AiotCommand } from '../../lib/cli/command.js';
import { policyFlags, policyOf, whatFlags } from '../../lib/cli/flags/rollouts.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { planText } from '../../lib/cli/render/rollout.js';
import { next } from '../../lib/cli/render/text.js';
import { writeFileAtomic } from '../../lib/core/files.js';
import { operatorKey } from '../../lib/provision/operator-key.js';

export default class RolloutPlan extends AiotCommand {
  static override summary = 'Show the devices in each wave of a planned rollout.';
  static override description =
    'Starts nothing. With --out, writes the plan to a file for aiot rollout start --plan; that command rejects the plan if the selector matches different devices by then. As in aiot rollout start, an older version is first signed again with your key.';
  static override hiddenAliases = ['ota:plan'];
  static override examples = [
    '<%= config.bin %> <%= command.id %> --model har@3 --selector type=esp32',
    "<%= config.bin %> <%= command.id %> --firmware motor@2 --model har@3 --selector 'site=lab and fw<1.4' --waves 1,10%,100% --out rollout.json",
  ];
  static override flags = {
    ...whatFlags,
    ...policyFlags,
    out: Flags.string({
      char: 'o',
      summary: 'Write the plan to this file.',
      env: 'AIOT_OUT',
      helpValue: 'FILE',
    }),
    context: shared.context,
  };
  static override result = rolloutPlanSchema;

  async run() {
    const input = await this.input(RolloutPlan);
    const { flags } = input;
    const { name } = await contextFor(flags.context);
    const plan = await withClient(name, async (client) => {
      const what = { ...flags, client, now: Date.now(), signingKey: () => operatorKey(name) };
      return client.rollouts.plan(
        await rolloutRequest({ ...what, rollbackTo: flags['rollback-to'], policy: policyOf(flags) }),
      );
    });
    this.print(planText(plan));
    const at = again(input, 'context');
    if (flags.out === undefined) return plan;
    await writeFileAtomic(flags.out, `${JSON.stringify(plan, null, 2)}\n`);
    this.suggest(next(`aiot rollout start --plan ${flags.out} --wait${at}`));
    return plan;
  }
}
