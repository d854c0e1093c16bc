import { watchRollout } from '../../index.js';
import {
  AiotCommand,
  again,
  next,
  offlineNote,
  rolloutId,
  rolloutNews,
  rolloutText,
  shared,
} from '../../lib/cli/index.js';
import { rolloutExit, rolloutSchema } from '../../lib/registry/index.js';

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
