import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { removalQuestion, removedText } from '../../lib/cli/render/datasets.js';
import { next } from '../../lib/cli/render/text.js';
import { withClient } from '../../lib/registry/context.js';
import { removedRecordingsSchema } from '../../lib/registry/datasets/bodies.js';
import { parseRecordings } from '../../lib/registry/datasets/place.js';

export default class DataRemove extends AiotCommand {
  static override summary = 'Remove recordings of a device from the platform, for good.';
  static override description =
    'Their space is free at once. What has a label stays, unless --labelled. STREAM/DEVICE alone: all that the device has in the stream.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> motion/waist-1/take7 --dry-run',
    '<%= config.bin %> <%= command.id %> motion/waist-1/take7',
  ];
  static override args = {
    recording: Args.string({
      required: true,
      description: 'STREAM/DEVICE/RECORDING; STREAM/DEVICE for all that it has.',
    }),
  };
  static override flags = {
    labelled: Flags.boolean({ summary: 'Labelled ones, too.', env: 'AIOT_LABELLED' }),
    yes: shared.yes,
    'dry-run': shared['dry-run'],
    context: shared.context,
  };
  static override result = removedRecordingsSchema;

  async run() {
    const input = await this.input(DataRemove);
    const { args, flags } = input;
    const { stream, ...which } = parseRecordings(args.recording);
    const query = { ...which, labelled: flags.labelled === true };
    const dryRun = flags['dry-run'] === true;
    const removed = await withClient(flags.context, async (client) => {
      if (!dryRun && !flags.yes) {
        const due = await client.datasets.remove(stream, { ...query, dryRun: true });
        if (due.recordings.length > 0) await this.agreeToLose(removalQuestion(due), false);
      }
      return client.datasets.remove(stream, { ...query, dryRun });
    });
    this.print(removedText(removed));
    this.print(next(`aiot data list ${stream}${again(input, 'context')}`));
    return removed;
  }
}
