import { Args, Flags } from '@oclif/core';
import { AiotCommand, again, hertz, next, recordingsTable, shared } from '../../lib/cli/index.js';
import { loadProject } from '../../lib/core/index.js';
import { importRecordings, importResultSchema } from '../../lib/data/index.js';

export default class DataImport extends AiotCommand {
  static override summary = 'Import recordings: a CSV file, or a folder of them.';
  static override description =
    'A CSV file has a header with the names of the project’s fields. Its label is --label, or the letters its name begins with: walking12.csv is walking.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> ../recordings',
    '<%= config.bin %> <%= command.id %> take7.csv --label walking --device waist-1',
  ];
  static override args = { from: Args.string({ required: true, description: 'File or folder.' }) };
  static override flags = {
    project: shared.project,
    label: Flags.string({ char: 'l', summary: 'What they show.', env: 'AIOT_LABEL' }),
    device: Flags.string({ summary: 'Which device made them.', env: 'AIOT_DEVICE', helpValue: 'NAME' }),
    rate: hertz({ summary: 'Samples a second in them; must be the project’s.', env: 'AIOT_RATE' }),
    'dry-run': shared['dry-run'],
  };
  static override result = importResultSchema;

  async run() {
    const input = await this.input(DataImport);
    const { args, flags } = input;
    const at = again(input, 'project');
    const project = await loadProject(flags.project);
    const result = await importRecordings({
      project,
      from: args.from,
      label: flags.label,
      device: flags.device,
      rateHz: flags.rate,
      dryRun: flags['dry-run'],
      signal: this.signal,
    });
    this.print(recordingsTable(result.imported, 'nothing new'));
    if (result.skipped.length > 0) this.print(`${result.skipped.length} were there already`);
    if (result.dryRun) this.print('Nothing was written: --dry-run');
    this.print(next(`aiot data check${at}`, `aiot model train${at}`));
    return result;
  }
}
