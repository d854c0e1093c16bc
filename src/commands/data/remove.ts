import { Args, Flags } from '@oclif/core';
import { removedRecordingsSchema } from '../../lib/api/contract/data.js';
import { parseRecordings } from '../../lib/api/datasets/place.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { removalQuestion, removedText } from '../../lib/cli/render/datasets.js';

export default class DataRemove extends PlatformCommand {
  static override summary = "Permanently remove a device's recordings from a platform.";
  static override description =
    "The space is freed immediately. Labeled recordings are kept unless you pass --labeled. STREAM/DEVICE alone removes all of the device's recordings in the stream.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> motion/waist-1/take7 --dry-run',
    '<%= config.bin %> <%= command.id %> motion/waist-1/take7',
    '<%= config.bin %> <%= command.id %> motion/waist-1/take7 --yes',
  ];
  static override args = {
    recording: Args.string({
      required: true,
      description: "STREAM/DEVICE/RECORDING, or STREAM/DEVICE for all of the device's recordings.",
    }),
  };
  static override flags = {
    labeled: Flags.boolean({ summary: 'Also remove labeled recordings.', env: 'AIOT_LABELED' }),
    yes: shared.yes,
    'dry-run': shared['dry-run'],
    context: shared.context,
  };
  static override result = removedRecordingsSchema;

  async run() {
    const input = await this.input(DataRemove);
    const { stream, ...which } = parseRecordings(input.args.recording);
    const query = { ...which, labelled: input.flags.labeled === true };
    const dryRun = input.flags['dry-run'] === true;
    return this.ask(
      input,
      async ({ datasets }) => {
        if (!dryRun && !input.flags.yes) {
          const due = await datasets.remove(stream, { ...query, dryRun: true });
          if (due.recordings.length > 0) await this.agreeToLose(removalQuestion(due), false);
        }
        return datasets.remove(stream, { ...query, dryRun });
      },
      removedText,
      () => [`aiot data list ${stream}`],
    );
  }
}
