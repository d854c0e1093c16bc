import { Flags } from '@oclif/core';
import * as z from 'zod';
import { startRollout } from '../../index.js';
import { AiotCommand } from '../../lib/cli/command.js';
import { policyFlags, policyOf, whatFlags } from '../../lib/cli/flags/rollouts.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { offlineNote, rolloutNews } from '../../lib/cli/live/rollout-news.js';
import { rolloutText } from '../../lib/cli/render/rollout.js';
import { next } from '../../lib/cli/render/text.js';
import { rolloutExit } from '../../lib/registry/rollouts/deploy.js';
import { noRolloutSchema } from '../../lib/registry/rollouts/request.js';
import { rolloutSchema } from '../../lib/registry/rollouts/schema.js';

export default class OtaStart extends AiotCommand {
  static override summary =
    'Roll a model, firmware, a configuration or several out in waves that stop themselves.';
  static override description =
    'A wave opens when the one before has settled: nothing of it is under way, enough devices have committed, and it stayed well for --soak. Too many failures stop the rollout: nobody else begins, and with --on-failure rollback all go back. Exits, with --wait, with 0 when every device took it, 3 when some did, 1 when none did, and 6 when it was stopped.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> --model har@3 --selector type=esp32 --waves 1%,10%,50%,100% --max-failures 1% --wait',
    '<%= config.bin %> <%= command.id %> --model har@3 --rollback-to har@2 --on-failure rollback --selector site=lab --soak 10m',
    '<%= config.bin %> <%= command.id %> --plan rollout.json --wait --json',
  ];
  static override flags = {
    ...whatFlags,
    plan: Flags.string({
      summary: 'Start what aiot ota plan wrote to this file, for exactly its devices.',
      env: 'AIOT_PLAN',
      helpValue: 'FILE',
      exclusive: [...Object.keys(whatFlags), ...Object.keys(policyFlags)],
    }),
    ...policyFlags,
    'if-any': Flags.boolean({
      summary: 'Where no device matches there is nothing to do: say so, and exit with 0.',
      env: 'AIOT_IF_ANY',
    }),
    wait: Flags.boolean({ summary: 'Wait until it has ended or was stopped.', env: 'AIOT_WAIT' }),
    context: shared.context,
  };
  static override result = z.union([rolloutSchema, noRolloutSchema]);

  async run() {
    const input = await this.input(OtaStart);
    const { flags } = input;
    const [told, newsOf] = [this.stages(), rolloutNews()];
    const rollout = await startRollout({
      ...flags,
      rollbackTo: flags['rollback-to'],
      policy: flags.plan === undefined ? policyOf(flags) : undefined,
      ifAny: flags['if-any'],
      onProgress: (progress) => told(newsOf(progress.rollout)),
      onOffline: (names) => this.note(offlineNote(names)),
      signal: this.signal,
    });
    if ('skipped' in rollout) {
      this.print(rollout.skipped);
      return rollout;
    }
    const code = flags.wait ? rolloutExit(rollout) : 0;
    if (code !== 0) this.exitsWith(code);
    this.print(rolloutText(rollout));
    const at = again(input, 'context');
    this.print(
      next(
        ...(flags.wait ? [] : [`aiot ota watch ${rollout.id}${at}`]),
        `aiot ota status ${rollout.id}${at}`,
      ),
    );
    return rollout;
  }
}
