import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { instant, shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { next } from '../../lib/cli/render/text.js';
import { AiotError } from '../../lib/core/errors.js';
import { plural } from '../../lib/core/figures.js';
import { withClient } from '../../lib/registry/context.js';
import { parseRecordingPlace } from '../../lib/registry/datasets/place.js';
import { giveLabels, givenLabelsSchema, readLabels } from '../../lib/registry/datasets/save.js';

export default class DataLabel extends AiotCommand {
  static override summary = 'Say what a recording on the platform shows: all of it, or a part.';
  static override description =
    'The last word counts, and all are kept. A label protects a recording from retention. --file gives many: lines of device,recording,label[,from,to].';
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
    label: Args.string({ description: 'What it shows.' }),
  };
  static override flags = {
    from: instant({ summary: 'Only from this time on (with --to).', env: 'AIOT_FROM', dependsOn: ['to'] }),
    to: instant({ summary: 'Only until this time (with --from).', env: 'AIOT_TO', dependsOn: ['from'] }),
    remove: Flags.boolean({ summary: 'Take the label back.', env: 'AIOT_REMOVE' }),
    file: Flags.string({ summary: 'Labels of many recordings.', env: 'AIOT_FILE', helpValue: 'FILE' }),
    context: shared.context,
  };
  static override result = givenLabelsSchema;

  async run() {
    const input = await this.input(DataLabel);
    const { args, flags } = input;
    const { stream, labels } = await asked(args, flags);
    const given = await withClient(flags.context, (client) => giveLabels(client, stream, labels));
    this.print(`${plural(given.labels, 'label')} ${flags.remove ? 'taken back' : 'given'} in ${stream}`);
    const shown = flags.file === undefined ? `show ${args.recording}` : `list ${stream}`;
    this.print(next(`aiot data ${shown}${again(input, 'context')}`));
    return given;
  }
}

interface Flagged {
  from?: number | undefined;
  to?: number | undefined;
  remove?: boolean;
  file?: string | undefined;
}

/** @throws AIOT_USAGE */
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
