import { Args } from '@oclif/core';
import * as z from 'zod';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { storedRecordingText } from '../../lib/cli/render/datasets.js';
import { facts, next, table } from '../../lib/cli/render/text.js';
import { moment } from '../../lib/cli/render/time.js';
import { percent } from '../../lib/core/figures.js';
import { loadProject } from '../../lib/core/project.js';
import { recordingDetailSchema, showRecording } from '../../lib/data/dataset/summary.js';
import { withClient } from '../../lib/registry/context.js';
import { recordingShownSchema } from '../../lib/registry/datasets/bodies.js';
import { parseRecordingPlace, type RecordingPlace } from '../../lib/registry/datasets/place.js';

export default class DataShow extends AiotCommand {
  static override summary = 'Show one recording in figures, of the project or of the platform.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> walking1',
    '<%= config.bin %> <%= command.id %> motion/waist-1/walking1',
  ];
  static override args = {
    recording: Args.string({
      required: true,
      description: 'Its name; on the platform: STREAM/DEVICE/RECORDING.',
    }),
  };
  static override flags = { project: shared.project, data: shared.data, context: shared.context };
  static override result = z.union([recordingDetailSchema, recordingShownSchema]);

  async run() {
    const input = await this.input(DataShow);
    const { args, flags } = input;
    const place = parseRecordingPlace(args.recording);
    if (place) return this.stored(place, flags.context, again(input, 'context'));
    const shown = await showRecording(await loadProject(flags.project), args.recording, flags.data);
    this.print(
      facts([
        ['Recording', shown.id],
        ['Label', shown.label ?? 'none'],
        ['Device', shown.device ?? 'not known'],
        ['Started', shown.startedAt === null ? 'not known' : moment(shown.startedAt)],
        ['Samples', `${shown.samples} at ${shown.rateHz} Hz, ${shown.seconds.toFixed(1)} s`],
        ['Windows', shown.windows],
        ['Repeated rows', percent(shown.repeats)],
      ]),
    );
    this.print(`\n${fieldsTable(shown.fields)}`);
    this.print(next(`aiot data check${again(input, 'project', 'data')}`));
    return shown;
  }

  private async stored(place: RecordingPlace, context: string | undefined, at: string) {
    const { stream, device, recording } = place;
    const shown = await withClient(context, (client) => client.datasets.show(stream, device, recording));
    this.print(storedRecordingText(shown));
    this.print(next(`aiot data label ${stream}/${device}/${recording} LABEL${at}`));
    return shown;
  }
}

function fieldsTable(fields: z.output<typeof recordingDetailSchema>['fields']): string {
  const figure = (value: number) => Number(value.toPrecision(4));
  const rows = fields.map(({ name, min, max, mean, deviation }) => [
    name,
    ...[min, max, mean, deviation].map(figure),
  ]);
  return table(['field', 'min', 'max', 'mean', 'deviation'], rows);
}
