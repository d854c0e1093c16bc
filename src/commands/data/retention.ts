import { Args, Flags } from '@oclif/core';
import * as z from 'zod';
import { removedRecordingsSchema, retentionSchema } from '../../lib/api/contract/data.js';
import { changeRetention } from '../../lib/api/datasets/retention.js';
import { shared, sizeInBytes } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { removalQuestion, removedText, retentionTable } from '../../lib/cli/render/datasets.js';

export default class DataRetention extends PlatformCommand {
  static override summary = 'Set how long telemetry is kept, or delete expired data now.';
  static override description =
    'Recordings whose last message is older than --days are removed; then the oldest are removed until the stream is within --size. Labeled recordings are kept unless you pass --labeled. The platform applies the policies every hour. --run applies them now; --dry-run lists the recordings that would be removed. Without flags, lists the policies.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> motion --days 90 --size 20GB',
    '<%= config.bin %> <%= command.id %> motion --dry-run',
  ];
  static override args = { stream: Args.string({ description: 'Stream name [default: all].' }) };
  static override flags = {
    days: Flags.integer({
      summary: 'Days to keep telemetry.',
      env: 'AIOT_DAYS',
      min: 1,
      max: 36_500,
      helpValue: 'DAYS',
    }),
    size: sizeInBytes({ summary: 'Maximum stream size, such as 20GB.', env: 'AIOT_SIZE' }),
    labeled: Flags.boolean({ summary: 'Also remove labeled recordings.', env: 'AIOT_LABELED' }),
    forever: Flags.boolean({
      summary: "Remove the stream's limits, and keep all its telemetry.",
      env: 'AIOT_FOREVER',
      exclusive: ['days', 'size', 'run', 'dry-run'],
    }),
    run: Flags.boolean({ summary: 'Remove everything that is due now.', env: 'AIOT_RUN' }),
    yes: shared.yes,
    'dry-run': Flags.boolean({
      summary: 'List everything that is due now, without removing it.',
      env: 'AIOT_DRY_RUN',
      exclusive: ['run'],
    }),
    context: shared.context,
  };
  static override result = z.object({
    policies: z.array(retentionSchema),
    /** Recordings that were removed (--run) or are due for removal (--dry-run); null without these flags. */
    removed: removedRecordingsSchema.nullable(),
  });

  async run() {
    const input = await this.input(DataRetention);
    const { args, flags } = input;
    const { days, size, labeled: labelled, forever, run } = flags;
    const wish = { stream: args.stream, days, bytes: size, labelled, forever, run, dryRun: flags['dry-run'] };
    return this.ask(
      input,
      async (client) => {
        if (run && !flags.yes) {
          const due = await client.retention.run({ stream: args.stream, dryRun: true });
          if (due.recordings.length > 0) await this.agreeToLose(removalQuestion(due), false);
        }
        return changeRetention(client, wish);
      },
      ({ policies, removed }) =>
        removed ? `${retentionTable(policies)}\n\n${removedText(removed)}` : retentionTable(policies),
      () => [`aiot data retention ${args.stream ?? 'STREAM'} ${flags['dry-run'] ? '--run' : '--dry-run'}`],
    );
  }
}
