import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { columnList, rowsFlags } from '../../lib/cli/flags/models.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { statisticsText } from '../../lib/cli/render/data.js';
import { next } from '../../lib/cli/render/text.js';
import { loadProject } from '../../lib/core/project.js';
import { shellWord } from '../../lib/core/text.js';
import { dataStatistics, statisticsSchema } from '../../lib/data/statistics.js';

export default class DataStats extends AiotCommand {
  static override summary = 'Show statistics by field, by label or by recording.';
  static override description =
    "Without DATA, uses the project's recordings. DATA is a CSV file, a folder of recordings, or a project. --save writes a reference that you can pass to aiot data drift as the baseline. A reference is a few hundred kilobytes, regardless of the number of rows.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> rows.csv',
    '<%= config.bin %> <%= command.id %> --project motor-watch --by recording',
    '<%= config.bin %> <%= command.id %> last-month.csv --save reference.json',
  ];
  static override args = {
    data: Args.string({ description: 'CSV file, folder of recordings, or project.' }),
  };
  static override flags = {
    project: shared.project,
    ...rowsFlags,
    by: Flags.option({ options: ['label', 'recording'] as const })({
      summary: 'Group by label or by recording [default: label].',
      env: 'AIOT_BY',
    }),
    save: Flags.string({
      summary: 'Write a reference for aiot data drift to this file.',
      env: 'AIOT_SAVE',
      helpValue: 'FILE',
    }),
  };
  static override result = statisticsSchema;

  async run() {
    const { args, flags, given } = await this.input(DataStats);
    const named = args.data === undefined || given('project');
    const found = await dataStatistics({
      ...flags,
      path: args.data,
      project: named ? await loadProject(flags.project) : undefined,
      columns: columnList(flags.columns),
    });
    this.print(statisticsText(found, flags.by));
    if (found.saved !== null) this.suggest(next(`aiot data drift ${shellWord(found.saved)} NOW.csv`));
    return found;
  }
}
