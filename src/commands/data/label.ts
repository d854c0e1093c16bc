import { Args, Flags } from '@oclif/core';
import * as z from 'zod';
import { giveLabels, givenLabelsSchema, labelsFor } from '../../lib/api/datasets/save.js';
import { instant, shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { PlatformCommand, type PlatformInput } from '../../lib/cli/platform-command.js';
import { labelledInProjectText } from '../../lib/cli/render/datasets.js';
import { next } from '../../lib/cli/render/text.js';
import { AiotError } from '../../lib/core/errors.js';
import { plural } from '../../lib/core/figures.js';
import { loadProject } from '../../lib/core/project.js';
import { labelInProject, labelledInProjectSchema } from '../../lib/data/dataset/write.js';

export default class DataLabel extends PlatformCommand {
  static override summary = 'Label a recording of a project or on the platform.';
  static override description =
    'A name without a slash is a recording of the project; its label is in data/dataset.json. On the platform, part of a recording can have its own label. The latest label wins there; earlier labels are kept. Retention policies keep labeled recordings, unless they were set with --labeled. --file applies many labels; each line is device,recording,label[,from,to].';
  static override examples = [
    '<%= config.bin %> <%= command.id %> walking3 sitting',
    '<%= config.bin %> <%= command.id %> motion/waist-1/take7 walking',
    '<%= config.bin %> <%= command.id %> motion/waist-1/take7 falling --from 2026-11-20T10:00:00Z --to 2026-11-20T10:00:03Z',
    '<%= config.bin %> <%= command.id %> motion/waist-1/take7 --remove',
    '<%= config.bin %> <%= command.id %> motion --file labels.csv',
  ];
  static override args = {
    recording: Args.string({
      required: true,
      description:
        'Recording of the project; on the platform: STREAM/DEVICE/RECORDING, or a STREAM with --file.',
    }),
    label: Args.string({ description: 'Label to set.' }),
  };
  static override flags = {
    project: shared.project,
    from: instant({
      summary: 'Label only samples from this time on, such as 2026-11-20T10:00:00Z (with --to).',
      env: 'AIOT_FROM',
      dependsOn: ['to'],
    }),
    to: instant({
      summary: 'Label only samples up to this time, such as 2026-11-21 (with --from).',
      env: 'AIOT_TO',
      dependsOn: ['from'],
    }),
    remove: Flags.boolean({ summary: 'Remove the label.', env: 'AIOT_REMOVE' }),
    file: Flags.string({
      summary: 'File of labels for many recordings.',
      env: 'AIOT_FILE',
      helpValue: 'FILE',
    }),
    context: shared.context,
  };
  static override result = z.union([labelledInProjectSchema, givenLabelsSchema]);

  async run() {
    const input = await this.input(DataLabel);
    const { args, flags } = input;
    if (flags.file === undefined && !args.recording.includes('/')) return this.ofProject(input);
    const { stream, labels } = await labelsFor(args, flags);
    return this.ask(
      input,
      (client) => giveLabels(client, stream, labels),
      (given) => `${plural(given.labels, 'label')} ${flags.remove ? 'removed' : 'set'} in ${stream}`,
      () => [`aiot data ${flags.file === undefined ? `show ${args.recording}` : `list ${stream}`}`],
    );
  }

  private async ofProject(
    input: PlatformInput & {
      args: { recording: string; label?: string | undefined };
      flags: { project: string; remove?: boolean; from?: number | undefined };
    },
  ) {
    const { args, flags } = input;
    const { remove = false } = flags;
    if ((args.label === undefined) !== remove || flags.from !== undefined)
      throw new AiotError(
        'AIOT_USAGE',
        'expected RECORDING LABEL, or RECORDING --remove; only recordings on the platform have labeled parts',
      );
    const project = await loadProject(flags.project);
    const given = await labelInProject(project, args.recording, args.label ?? null);
    this.print(labelledInProjectText(given));
    this.suggest(next(`aiot data check${again(input, 'project')}`));
    return given;
  }
}
