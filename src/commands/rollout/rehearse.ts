import { setImmediate as nextTurn } from 'node:timers/promises';
import { Args } from '@oclif/core';
import { rehearsalsSchema } from '../../lib/api/rollouts/rehearsal.js';
import { readPlan } from '../../lib/api/rollouts/request.js';
import { AiotCommand } from '../../lib/cli/command.js';
import { rehearsalFlags, rehearsalOf } from '../../lib/cli/flags/rollouts.js';
import { rehearsalsText } from '../../lib/cli/render/rollout.js';
import { next } from '../../lib/cli/render/text.js';
import { rehearseAll } from '../../lib/fleet/rehearse.js';

export default class RolloutRehearse extends AiotCommand {
  static override summary = 'Rehearse a rollout plan on a simulated fleet.';
  static override description =
    "The rehearsal runs the platform's rollout code and the update code of a virtual device. Network, power and clock are simulated. It needs no platform and touches no real device. --fail-rate sets how often the new version fails; at 0%, all failures come from the simulated network and power.";
  static override hiddenAliases = ['ota:rehearse'];
  static override examples = [
    '<%= config.bin %> <%= command.id %> rollout.json',
    '<%= config.bin %> <%= command.id %> rollout.json --fail-rate 2% --offline 10% --outage 5m --runs 100 --seed 7',
    '<%= config.bin %> <%= command.id %> rollout.json --size 1MB --bandwidth 20kB --json',
  ];
  static override args = {
    plan: Args.string({ required: true, description: 'Plan file written by aiot rollout plan --out.' }),
  };
  static override flags = rehearsalFlags;
  static override result = rehearsalsSchema;

  async run() {
    const { args, flags } = await this.input(RolloutRehearse);
    const plan = await readPlan(args.plan);
    const told = this.stages();
    const rehearsals = await rehearseAll(plan, {
      ...rehearsalOf(flags),
      onRun: async (done) => {
        told({ text: 'rehearsed', done, total: flags.runs });
        await nextTurn();
        this.signal.throwIfAborted();
      },
    });
    this.print(rehearsalsText(plan, rehearsals));
    const start = `aiot rollout start --plan ${args.plan} --wait`;
    this.suggest(rehearsals.trouble > 0 ? next('aiot docs rollouts#options', start) : next(start));
    return rehearsals;
  }
}
