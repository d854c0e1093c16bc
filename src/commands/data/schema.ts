import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { columnList, rowsFlags } from '../../lib/cli/flags/models.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { schemaText } from '../../lib/cli/render/data.js';
import { next } from '../../lib/cli/render/text.js';
import { loadProject } from '../../lib/core/project.js';
import { shellWord } from '../../lib/core/text.js';
import { dataSchema, schemaResultSchema } from '../../lib/data/schema.js';

export default class DataSchema extends AiotCommand {
  static override summary = 'Infer what data is like (types, ranges, categories), or hold it against that.';
  static override description =
    'Without DATA, the project’s recordings. --save writes the schema as a file to read, change and commit; --against FILE holds data against one, --against project against stream.fields of aiot.yaml. Ends with exit code 6 when something breaks it.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> rows.csv --save schema.json',
    '<%= config.bin %> <%= command.id %> today.csv --against schema.json',
    '<%= config.bin %> <%= command.id %> today.csv --against project --project motor-watch --json',
  ];
  static override args = {
    data: Args.string({ description: 'CSV file, folder of recordings, or project.' }),
  };
  static override flags = {
    project: shared.project,
    ...rowsFlags,
    against: Flags.string({
      summary: 'Schema to hold data against: a file, or project.',
      env: 'AIOT_AGAINST',
      helpValue: 'FILE|project',
    }),
    save: Flags.string({ summary: 'Write the schema here.', env: 'AIOT_SAVE', helpValue: 'FILE' }),
  };
  static override result = schemaResultSchema;

  async run() {
    const { args, flags, given } = await this.input(DataSchema);
    const named = args.data === undefined || given('project') || flags.against === 'project';
    const found = await dataSchema({
      ...flags,
      path: args.data,
      project: named ? await loadProject(flags.project) : undefined,
      columns: columnList(flags.columns),
    });
    this.print(schemaText(found));
    if (found.saved !== null)
      this.print(next(`aiot data schema NEW.csv --against ${shellWord(found.saved)}`));
    if (!found.ok) this.exitsWith(6);
    return found;
  }
}
