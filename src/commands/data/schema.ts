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
  static override summary = 'Infer a data schema, or check data against one.';
  static override description =
    "A schema holds types, ranges and categories. Without DATA, uses the project's recordings. --save writes the schema to a file that you can edit and commit. --against FILE checks data against a schema file, and --against project against stream.fields in aiot.yaml. Exits with 6 if the data violates the schema.";
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
      summary: 'Schema to check data against: a file, or project.',
      env: 'AIOT_AGAINST',
      helpValue: 'FILE|project',
    }),
    save: Flags.string({ summary: 'Write the schema to this file.', env: 'AIOT_SAVE', helpValue: 'FILE' }),
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
      this.suggest(next(`aiot data schema NEW.csv --against ${shellWord(found.saved)}`));
    if (!found.ok) this.exitsWith(6);
    return found;
  }
}
