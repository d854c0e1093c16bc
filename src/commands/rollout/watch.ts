import { watchRollout } from '../../index.js';
import { rolloutExit } from '../../lib/api/rollouts/deploy.js';
import { rolloutSchema } from '../../lib/api/rollouts/schema.js';
import { AiotCommand } from '../../lib/cli/command.js';
import { rolloutId } from '../../lib/cli/flags/rollouts.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { offlineNote, rolloutNews } from '../../lib/cli/live/rollout-news.js';
import { rolloutText } from '../../lib/cli/render/rollout.js';
import { next } from '../../lib/cli/render/text.js';

export default class RolloutWatch extends AiotCommand {
  static override summary = 'Follow a rollout until it ends.';
  static override description =
    'Keeps following across a platform restart. Exits with 0 if all devices succeeded, 3 if some did, 1 if none did, and 6 if the rollout was stopped.';
  static override hiddenAliases = ['ota:watch'];
  static override examples = [
    '<%= config.bin %> <%= command.id %> ro_01k2',
    '<%= config.bin %> <%= command.id %> ro_01k2 --json',
  ];
  static override args = rolloutId;
  static override flags = { context: shared.context };
  static override result = rolloutSchema;

  async run() {
    const input = await this.input(RolloutWatch);
    const { args, flags } = input;
    const [told, newsOf] = [this.stages(), rolloutNews()];
    const rollout = await watchRollout(args.id, {
      ...{ context: flags.context, signal: this.signal },
      onProgress: (progress) => told(newsOf(progress.rollout)),
      onOffline: (devices, rollout) => this.note(offlineNote(devices, rollout)),
    });
    const code = rolloutExit(rollout);
    if (code !== 0) this.exitsWith(code);
    this.print(rolloutText(rollout));
    this.suggest(next(`aiot rollout show ${args.id}${again(input, 'context')}`));
    return rollout;
  }
}
