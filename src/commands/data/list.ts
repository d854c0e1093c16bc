import { AiotCommand, again, facts, next, recordingsTable, shared } from '../../lib/cli/index.js';
import { loadProject } from '../../lib/core/index.js';
import { summarizeProject, summarySchema } from '../../lib/data/index.js';

export default class DataList extends AiotCommand {
  static override summary = 'List the recordings of a project.';
  static override hiddenAliases = ['data'];
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --json',
  ];
  static override flags = { project: shared.project, data: shared.data };
  static override result = summarySchema;

  async run() {
    const input = await this.input(DataList);
    const { flags } = input;
    const at = again(input, 'project', 'data');
    const summary = await summarizeProject(await loadProject(flags.project), flags.data);
    this.print(recordingsTable(summary.recordings));
    const labels = Object.entries(summary.labels).map(
      ([label, { recordings, seconds }]) =>
        `${label || 'unlabelled'} ${recordings} (${Math.round(seconds)} s)`,
    );
    this.print('');
    this.print(
      facts([
        ['Labels', labels.join(', ')],
        ['Fields', `${summary.fields.join(', ')} at ${summary.rateHz} Hz`],
        ['Digest', summary.digest],
      ]),
    );
    this.print(next(`aiot data check${at}`, `aiot model train${at}`));
    return summary;
  }
}
