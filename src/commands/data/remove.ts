import { Args, Flags } from '@oclif/core';
import * as z from 'zod';
import { removedRecordingsSchema } from '../../lib/api/contract/data.js';
import { parseRecordings } from '../../lib/api/datasets/place.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { PlatformCommand, type PlatformInput } from '../../lib/cli/platform-command.js';
import {
  projectRemovalQuestion,
  removalQuestion,
  removedFromProjectText,
  removedText,
} from '../../lib/cli/render/datasets.js';
import { next } from '../../lib/cli/render/text.js';
import { AiotError } from '../../lib/core/errors.js';
import { loadProject } from '../../lib/core/project.js';
import { removedFromProjectSchema, removeFromProject } from '../../lib/data/dataset/write.js';

export default class DataRemove extends PlatformCommand {
  static override summary = 'Permanently remove recordings of a project or a device.';
  static override description =
    "A name without a slash is a recording of the project: its file and its entry in data/dataset.json are removed. On the platform, STREAM/DEVICE stands for all of the device's recordings in the stream. Labeled recordings on the platform are kept unless you pass --labeled. The space is freed immediately.";
  static override usage = 'data remove RECORDING… | STREAM/DEVICE[/RECORDING]';
  static override examples = [
    '<%= config.bin %> <%= command.id %> walking3 walking7',
    '<%= config.bin %> <%= command.id %> motion/waist-1/take7 --dry-run',
    '<%= config.bin %> <%= command.id %> motion/waist-1/take7 --yes',
  ];
  static override strict = false;
  static override args = {
    recording: Args.string({
      required: true,
      description: 'Recordings of the project; on the platform: STREAM/DEVICE/RECORDING or STREAM/DEVICE.',
    }),
  };
  static override flags = {
    project: shared.project,
    labeled: Flags.boolean({
      summary: 'On the platform: also remove labeled recordings.',
      env: 'AIOT_LABELED',
    }),
    yes: shared.yes,
    'dry-run': shared['dry-run'],
    context: shared.context,
  };
  static override result = z.union([removedFromProjectSchema, removedRecordingsSchema]);

  async run() {
    const input = await this.input(DataRemove);
    const { words } = input;
    const { labeled = false, yes = false, 'dry-run': dryRun = false } = input.flags;
    if (!words.some((word) => word.includes('/'))) return this.ofProject(input, { dryRun, yes });
    if (words.length > 1)
      throw new AiotError(
        'AIOT_USAGE',
        `expected one STREAM/DEVICE/RECORDING, got ${words.length} arguments`,
      );
    const { stream, ...which } = parseRecordings(words[0]!);
    const query = { ...which, labelled: labeled };
    return this.ask(
      input,
      async ({ datasets }) => {
        if (!dryRun && !yes) {
          const due = await datasets.remove(stream, { ...query, dryRun: true });
          if (due.recordings.length > 0) await this.agreeToLose(removalQuestion(due), false);
        }
        return datasets.remove(stream, { ...query, dryRun });
      },
      removedText,
      () => [`aiot data list ${stream}`],
    );
  }

  private async ofProject(
    input: PlatformInput & { words: string[]; flags: { project: string } },
    { dryRun, yes }: { dryRun: boolean; yes: boolean },
  ) {
    const project = await loadProject(input.flags.project);
    const due = await removeFromProject(project, input.words, { dryRun: true });
    if (!dryRun) await this.agreeToLose(projectRemovalQuestion(due), yes);
    const removed = dryRun ? due : await removeFromProject(project, input.words, { dryRun });
    this.print(removedFromProjectText(removed));
    if (!dryRun) this.suggest(next(`aiot data check${again(input, 'project')}`));
    return removed;
  }
}
