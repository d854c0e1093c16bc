import { Flags } from '@oclif/core';
import * as z from 'zod';
import { startRollout } from '../../index.js';
import { rolloutExit } from '../../lib/api/rollouts/deploy.js';
import { noRolloutSchema } from '../../lib/api/rollouts/request.js';
import { rolloutSchema } from '../../lib/api/rollouts/schema.js';
import { AiotCommand } from '../../lib/cli/command.js';
import { policyFlags, policyOf, whatFlags } from '../../lib/cli/flags/rollouts.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { offlineNote, rolloutNews } from '../../lib/cli/live/rollout-news.js';
import { rolloutText } from '../../lib/cli/render/rollout.js';
import { next } from '../../lib/cli/render/text.js';

export default class RolloutStart extends AiotCommand {
  static override summary = 'Roll out models, firmware or configurations in waves.';
  static override description =
    'A wave opens when the previous one has settled: no update is in progress, enough devices have committed, and --soak has passed. If more devices than --max-failures fail, or crash after the update, the rollout stops: no further devices start, and with --on-failure rollback all devices roll back. With --wait, exits with 0 if all devices succeeded, 3 if some did, 1 if none did, and 6 if the rollout was stopped.';
  static override hiddenAliases = ['ota:start'];
  static override examples = [
    '<%= config.bin %> <%= command.id %> --model har@3 --selector type=esp32 --waves 1%,10%,50%,100% --max-failures 1% --wait',
    '<%= config.bin %> <%= command.id %> --model har@3 --rollback-to har@2 --on-failure rollback --selector site=lab --soak 10m',
    '<%= config.bin %> <%= command.id %> --plan rollout.json --wait --json',
  ];
  static override flags = {
    ...whatFlags,
    plan: Flags.string({
      summary: 'Start the plan in this file (from aiot rollout plan), for exactly its devices.',
      env: 'AIOT_PLAN',
      helpValue: 'FILE',
      exclusive: [...Object.keys(whatFlags), ...Object.keys(policyFlags)],
    }),
    ...policyFlags,
    'if-any': Flags.boolean({
      summary: 'Exit with 0 if no device matches, instead of failing.',
      env: 'AIOT_IF_ANY',
    }),
    wait: Flags.boolean({ summary: 'Wait until the rollout ends or is stopped.', env: 'AIOT_WAIT' }),
    context: shared.context,
  };
  static override result = z.union([rolloutSchema, noRolloutSchema]);

  async run() {
    const input = await this.input(RolloutStart);
    const { flags } = input;
    const [told, newsOf] = [this.stages(), rolloutNews()];
    const rollout = await startRollout({
      ...flags,
      rollbackTo: flags['rollback-to'],
      policy: flags.plan === undefined ? policyOf(flags) : undefined,
      ifAny: flags['if-any'],
      onProgress: (progress) => told(newsOf(progress.rollout)),
      onWarning: (warning) => this.caution(warning),
      onOffline: (devices, rollout) => this.note(offlineNote(devices, rollout)),
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
    this.suggest(
      next(
        ...(flags.wait ? [] : [`aiot rollout watch ${rollout.id}${at}`]),
        `aiot rollout show ${rollout.id}${at}`,
      ),
    );
    return rollout;
  }
}
