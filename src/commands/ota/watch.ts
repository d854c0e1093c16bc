import { watchRollout } from '../../index.js';
import { AiotCommand } from '../../lib/cli/command.js';
import { rolloutId } from '../../lib/cli/flags/rollouts.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { offlineNote, rolloutNews } from '../../lib/cli/live/rollout-news.js';
import { rolloutText } from '../../lib/cli/render/rollout.js';
import { next } from '../../lib/cli/render/text.js';
import { rolloutExit } from '../../lib/registry/rollouts/deploy.js';
import { rolloutSchema } from '../../lib/registry/rollouts/schema.js';

export default class OtaWatch extends AiotCommand {
  static override summary = 'Follow a rollout until it has ended or was stopped.';
  static override description =
    'Goes on over a restart of the platform. Exits with 0 when every device took it, 3 when some did, 1 when none did, and 6 when it was stopped.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> ro_01k2',
    '<%= config.bin %> <%= command.id %> ro_01k2 --json',
  ];
  static override args = rolloutId;
  static override flags = { context: shared.context };
  static override result = rolloutSchema;

  async run() {
    const input = await this.input(OtaWatch);
    const { args, flags } = input;
    const [told, newsOf] = [this.stages(), rolloutNews()];
    const rollout = await watchRollout(args.id, {
      ...{ context: flags.context, signal: this.signal },
      onProgress: (progress) => told(newsOf(progress.rollout)),
      onOffline: (names) => this.note(offlineNote(names)),
    });
    const code = rolloutExit(rollout);
    if (code !== 0) this.exitsWith(code);
    this.print(rolloutText(rollout));
    this.print(next(`aiot ota status ${args.id}${again(input, 'context')}`));
    return rollout;
  }
}
