import { Args, Flags } from '@oclif/core';
import * as z from 'zod';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared, sizeInBytes } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { removalQuestion, removedText, retentionTable } from '../../lib/cli/render/datasets.js';
import { next } from '../../lib/cli/render/text.js';
import { withClient } from '../../lib/registry/context.js';
import { removedRecordingsSchema, retentionSchema } from '../../lib/registry/datasets/bodies.js';
import { changeRetention } from '../../lib/registry/datasets/retention.js';

export default class DataRetention extends AiotCommand {
  static override summary = 'Say how long the platform keeps telemetry, or carry it out now.';
  static override description =
    'By stream: recordings whose last message is older than --days go, and then the oldest until the stream is not above --size. Labelled ones stay, unless --labelled. The platform looks every hour; --run does it now, and --dry-run says the exact set.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> motion --days 90 --size 20GB',
    '<%= config.bin %> <%= command.id %> motion --dry-run',
    '<%= config.bin %> <%= command.id %> motion --forever',
  ];
  static override args = { stream: Args.string({ description: 'Name of the stream [default: all].' }) };
  static override flags = {
    days: Flags.integer({
      summary: 'Keep so many days.',
      env: 'AIOT_DAYS',
      min: 1,
      max: 36_500,
      helpValue: 'DAYS',
    }),
    size: sizeInBytes({ summary: 'Keep so much of the stream, such as 20GB.', env: 'AIOT_SIZE' }),
    labelled: Flags.boolean({ summary: 'Labelled recordings go, too.', env: 'AIOT_LABELLED' }),
    forever: Flags.boolean({
      summary: 'Keep all of the stream again.',
      env: 'AIOT_FOREVER',
      exclusive: ['days', 'size', 'run', 'dry-run'],
    }),
    run: Flags.boolean({ summary: 'Remove now what is due.', env: 'AIOT_RUN' }),
    yes: shared.yes,
    'dry-run': Flags.boolean({
      summary: 'Say what is due now, and remove nothing.',
      env: 'AIOT_DRY_RUN',
      exclusive: ['run'],
    }),
    context: shared.context,
  };
  static override result = z.object({
    policies: z.array(retentionSchema),
    /** With --run and --dry-run. */
    removed: removedRecordingsSchema.nullable(),
  });

  async run() {
    const input = await this.input(DataRetention);
    const { args, flags } = input;
    const { days, size, labelled, forever, run } = flags;
    if (run && !flags.yes) {
      const due = await withClient(flags.context, (client) =>
        client.retention.run({ stream: args.stream, dryRun: true }),
      );
      if (due.recordings.length > 0) await this.agreeToLose(removalQuestion(due), false);
    }
    const wish = { stream: args.stream, days, bytes: size, labelled, forever, run, dryRun: flags['dry-run'] };
    const result = await withClient(flags.context, (client) => changeRetention(client, wish));
    this.print(retentionTable(result.policies));
    if (result.removed) this.print(`\n${removedText(result.removed)}`);
    const more = flags['dry-run'] ? '--run' : '--dry-run';
    this.print(next(`aiot data retention ${args.stream ?? 'STREAM'} ${more}${again(input, 'context')}`));
    return result;
  }
}
