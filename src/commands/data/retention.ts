import { Args, Flags } from '@oclif/core';
import * as z from 'zod';
import {
  logRetentionSchema,
  removedLogsSchema,
  removedRecordingsSchema,
  retentionSchema,
} from '../../lib/api/contract/data.js';
import { changeRetention } from '../../lib/api/datasets/retention.js';
import { shared, sizeInBytes } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { limitsQuestion, retentionQuestion, retentionText } from '../../lib/cli/render/datasets.js';

export default class DataRetention extends PlatformCommand {
  static override summary = 'Set how long data is kept, or delete expired data now.';
  static override description =
    'Recordings whose last message is older than --days are removed; then the oldest are removed until the stream is within --size. Labeled recordings are kept unless you pass --labeled. --logs sets the limits of the log lines of all devices, which a new platform keeps for 90 days. Lines of the current day (UTC) are never removed. The platform applies the policies every hour. --run applies them now, and asks first unless you pass --yes; --dry-run lists what would be removed. Without flags, lists the policies.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> motion --days 90 --size 20GB',
    '<%= config.bin %> <%= command.id %> motion --dry-run',
    '<%= config.bin %> <%= command.id %> --logs --days 30 --size 2GB',
  ];
  static override args = { stream: Args.string({ description: 'Stream name [default: all].' }) };
  static override flags = {
    logs: Flags.boolean({
      summary: 'The log lines of devices, instead of a stream.',
      env: 'AIOT_LOGS',
      exclusive: ['labeled'],
    }),
    days: Flags.integer({
      summary: 'Days to keep the data.',
      env: 'AIOT_DAYS',
      min: 1,
      max: 36_500,
      helpValue: 'DAYS',
    }),
    size: sizeInBytes({ summary: 'Maximum size, such as 20GB; of logs, at least 1MB.', env: 'AIOT_SIZE' }),
    labeled: Flags.boolean({ summary: 'Also remove labeled recordings.', env: 'AIOT_LABELED' }),
    forever: Flags.boolean({
      summary: 'Remove the limits, and keep all data of the stream, or all log lines.',
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
    /** Retention of log lines; null if a stream was named. */
    logs: logRetentionSchema.nullable(),
    /** Log lines that were removed (--run) or are due for removal (--dry-run); null without these flags. */
    removedLogs: removedLogsSchema.nullable(),
  });

  async run() {
    const input = await this.input(DataRetention);
    const { args, flags } = input;
    const { days, size, labeled: labelled, forever, run, logs } = flags;
    const { stream } = args;
    const wish = { stream, logs, days, bytes: size, labelled, forever, run, dryRun: flags['dry-run'] };
    return this.ask(
      input,
      async (client) => {
        return changeRetention(client, wish, async () => {
          if (!run || flags.yes) return;
          // A dry run applies the policy in force, so it cannot show what new limits would remove.
          const isNew = days !== undefined || size !== undefined;
          const question = isNew
            ? limitsQuestion(wish)
            : retentionQuestion(await changeRetention(client, { stream, logs, dryRun: true }));
          if (question !== undefined) await this.agreeToLose(question, false);
        });
      },
      (state) => retentionText(state, logs),
      () => [
        `aiot data retention ${logs ? '--logs' : (stream ?? 'STREAM')} ${flags['dry-run'] ? '--run' : '--dry-run'}`,
      ],
    );
  }
}
