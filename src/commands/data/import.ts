import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { hertz } from '../../lib/cli/flags/models.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { recordingsTable } from '../../lib/cli/render/data.js';
import { next } from '../../lib/cli/render/text.js';
import { loadProject } from '../../lib/core/project.js';
import { importRecordings, importResultSchema } from '../../lib/data/sources/import.js';
import { withClient } from '../../lib/registry/context.js';

export default class DataImport extends AiotCommand {
  static override summary =
    'Import recordings: a CSV file, a folder of them, or what a platform has of a stream.';
  static override description =
    'A CSV file has a header with the names of the project’s fields. Its label is --label, or the letters its name begins with: walking12.csv is walking. What `aiot data export` wrote as CSV or NDJSON, and --stream, bring devices, recordings and labels along; a recording with several labels becomes one for each part.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> ../recordings',
    '<%= config.bin %> <%= command.id %> take7.csv --label walking --device waist-1',
    '<%= config.bin %> <%= command.id %> --stream motion',
  ];
  static override args = { from: Args.string({ description: 'File or folder.' }) };
  static override flags = {
    project: shared.project,
    stream: Flags.string({
      summary: 'Fetch the recordings of this stream from the platform.',
      env: 'AIOT_STREAM',
      helpValue: 'NAME',
    }),
    context: shared.context,
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
    const read = (stream?: Parameters<typeof importRecordings>[0]['stream']) =>
      importRecordings({
        ...{ project, from: args.from, stream },
        label: flags.label,
        device: flags.device,
        rateHz: flags.rate,
        dryRun: flags['dry-run'],
        signal: this.signal,
      });
    const { stream: name, context } = flags;
    const result = await (name === undefined
      ? read()
      : withClient(context, (client) => read({ name, client })));
    this.print(recordingsTable(result.imported, 'nothing new'));
    if (result.skipped.length > 0) this.print(`${result.skipped.length} were there already`);
    if (result.dryRun) this.print('Nothing was written: --dry-run');
    this.print(next(`aiot data check${at}`, `aiot model train${at}`));
    return result;
  }
}
