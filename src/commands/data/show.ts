import { Args } from '@oclif/core';
import { AiotCommand, again, facts, moment, next, percent, shared, table } from '../../lib/cli/index.js';
import { loadProject } from '../../lib/core/index.js';
import { recordingDetailSchema, showRecording } from '../../lib/data/index.js';

export default class DataShow extends AiotCommand {
  static override summary = 'Show one recording in figures.';
  static override examples = ['<%= config.bin %> <%= command.id %> walking1'];
  static override args = { recording: Args.string({ required: true, description: 'Its name.' }) };
  static override flags = { project: shared.project, data: shared.data };
  static override result = recordingDetailSchema;

  async run() {
    const input = await this.input(DataShow);
    const { args, flags } = input;
    const at = again(input, 'project', 'data');
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
    const figure = (value: number) => Number(value.toPrecision(4));
    const rows = shown.fields.map(({ name, min, max, mean, deviation }) => [
      name,
      ...[min, max, mean, deviation].map(figure),
    ]);
    this.print(`\n${table(['field', 'min', 'max', 'mean', 'deviation'], rows)}`);
    this.print(next(`aiot data check${at}`));
    return shown;
  }
}
