import { Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { policyFlags, policyOf, whatFlags } from '../../lib/cli/flags/rollouts.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { planText } from '../../lib/cli/render/rollout.js';
import { next } from '../../lib/cli/render/text.js';
import { writeFileAtomic } from '../../lib/core/files.js';
import { operatorKey } from '../../lib/provision/operator-key.js';
import { contextFor, withClient } from '../../lib/registry/context.js';
import { rolloutRequest } from '../../lib/registry/rollouts/request.js';
import { rolloutPlanSchema } from '../../lib/registry/rollouts/schema.js';

export default class OtaPlan extends AiotCommand {
  static override summary = 'Show which devices would be in which wave of a rollout, and begin nothing.';
  static override description =
    'With --out the plan is a file that aiot ota start --plan takes: it is refused where the selector matches other devices by then. A version that is not the newest is signed anew with your key first, as at the start.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> --model har@3 --selector type=esp32',
    "<%= config.bin %> <%= command.id %> --firmware motor@2 --model har@3 --selector 'site=lab and fw<1.4' --waves 1,10%,100% --out rollout.json",
  ];
  static override flags = {
    ...whatFlags,
    ...policyFlags,
    out: Flags.string({ char: 'o', summary: 'Write the plan here.', env: 'AIOT_OUT', helpValue: 'FILE' }),
    context: shared.context,
  };
  static override result = rolloutPlanSchema;

  async run() {
    const input = await this.input(OtaPlan);
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
    this.print(next(`aiot ota start --plan ${flags.out} --wait${at}`));
    return plan;
  }
}
