import { Args } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { rehearsalFlags, rehearsalOf } from '../../lib/cli/flags/rollouts.js';
import { rehearsalsText } from '../../lib/cli/render/rollout.js';
import { next } from '../../lib/cli/render/text.js';
import { rehearsalsSchema, rehearseAll } from '../../lib/fleet/rehearse.js';
import { readPlan } from '../../lib/registry/rollouts/request.js';

export default class OtaRehearse extends AiotCommand {
  static override summary =
    'Run a planned rollout on a fleet made up by chance, before a real device is touched.';
  static override description =
    'The rollout itself and the update of each device are what runs on the platform and in a virtual device; network, power and clock are made up. It needs no platform, and touches nothing. --fail-rate is how bad the version is: at 0 all trouble comes from the network.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> rollout.json',
    '<%= config.bin %> <%= command.id %> rollout.json --fail-rate 2% --offline 10% --outage 5m --runs 100 --seed 7',
    '<%= config.bin %> <%= command.id %> rollout.json --size 1MB --bandwidth 20kB --json',
  ];
  static override args = {
    plan: Args.string({ required: true, description: 'File that aiot ota plan --out wrote.' }),
  };
  static override flags = rehearsalFlags;
  static override result = rehearsalsSchema;

  async run() {
    const { args, flags } = await this.input(OtaRehearse);
    const plan = await readPlan(args.plan);
    const told = this.stages();
    const rehearsals = await rehearseAll(plan, {
      ...rehearsalOf(flags),
      onRun: async (done) => {
        told({ text: 'rehearsed', done, total: flags.runs });
        await new Promise((resolve) => setImmediate(resolve));
        this.signal.throwIfAborted();
      },
    });
    this.print(rehearsalsText(plan, rehearsals));
    const start = `aiot ota start --plan ${args.plan} --wait`;
    this.print(rehearsals.trouble > 0 ? next('aiot docs ota#waves-and-limits', start) : next(start));
    return rehearsals;
  }
}
