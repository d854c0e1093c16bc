import { Args, Flags } from '@oclif/core';
import { parseRecordingPlace } from '../../lib/api/datasets/place.js';
import { giveLabels, givenLabelsSchema, readLabels } from '../../lib/api/datasets/save.js';
import { instant, shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { AiotError } from '../../lib/core/errors.js';
import { plural } from '../../lib/core/figures.js';

export default class DataLabel extends PlatformCommand {
  static override summary = 'Label a recording on the platform, or a part of it.';
  static override description =
    'The latest label wins; earlier labels are kept. Retention policies keep labeled recordings, unless they were set with --labeled. --file applies many labels; each line is device,recording,label[,from,to].';
  static override examples = [
    '<%= config.bin %> <%= command.id %> motion/waist-1/take7 walking',
    '<%= config.bin %> <%= command.id %> motion/waist-1/take7 falling --from 2026-11-20T10:00:00Z --to 2026-11-20T10:00:03Z',
    '<%= config.bin %> <%= command.id %> motion/waist-1/take7 --remove',
    '<%= config.bin %> <%= command.id %> motion --file labels.csv',
  ];
  static override args = {
    recording: Args.string({
      required: true,
      description: 'STREAM/DEVICE/RECORDING, or a STREAM with --file.',
    }),
    label: Args.string({ description: 'Label to set.' }),
  };
  static override flags = {
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
  static override result = givenLabelsSchema;

  async run() {
    const input = await this.input(DataLabel);
    const { args, flags } = input;
    const { stream, labels } = await asked(args, flags);
    return this.ask(
      input,
      (client) => giveLabels(client, stream, labels),
      (given) => `${plural(given.labels, 'label')} ${flags.remove ? 'removed' : 'set'} in ${stream}`,
      () => [`aiot data ${flags.file === undefined ? `show ${args.recording}` : `list ${stream}`}`],
    );
  }
}

interface Flagged {
  from?: number | undefined;
  to?: number | undefined;
  remove?: boolean;
  file?: string | undefined;
}

/** The labels to set or remove, as given on the command line. @throws AIOT_USAGE */
async function asked(
  { recording: at, label }: { recording: string; label?: string | undefined },
  { from, to, remove = false, file }: Flagged,
) {
  if (file !== undefined) return { stream: at, labels: await readLabels(file) };
  const place = parseRecordingPlace(at);
  if (place === null || (label === undefined) !== remove) {
    const what = remove ? 'and no LABEL with --remove' : 'and a LABEL';
    throw new AiotError('AIOT_USAGE', `expected STREAM/DEVICE/RECORDING ${what}, or STREAM --file FILE`);
  }
  const { stream, ...which } = place;
  return {
    stream,
    labels: [{ ...which, label: label ?? null, ...(from === undefined ? {} : { from, to }) }],
  };
}
