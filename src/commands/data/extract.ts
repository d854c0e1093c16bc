import { Flags } from '@oclif/core';
import { extract } from '../../index.js';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { extractedText, leftOutTexts } from '../../lib/cli/render/data.js';
import { next } from '../../lib/cli/render/text.js';
import { extractedSchema, extractSources } from '../../lib/data/sources/extract.js';

export default class DataExtract extends AiotCommand {
  static override summary =
    'Make a dataset for training: of labelled telemetry, or of the project’s own data.';
  static override description =
    'auto takes the platform’s recordings of the project’s stream where a platform is in use and has some, else the project’s. At an installation of the guide’s services a project of rows (model.table) takes what its extract step has labelled, or for an autoencoder the raw files. Recordings without a label are left out. The first step of aiot pipeline run; the commands after it take the result by --data.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> --out extracted',
    '<%= config.bin %> <%= command.id %> --project motor-watch --from platform --out extracted --json',
  ];
  static override flags = {
    project: shared.project,
    data: shared.data,
    from: Flags.option({ options: extractSources, default: 'auto' as const })({
      summary: 'Where data is taken from.',
      env: 'AIOT_FROM',
    }),
    out: Flags.string({
      char: 'o',
      required: true,
      summary: 'Folder to make, or the CSV file of a project of rows.',
      env: 'AIOT_OUT',
      helpValue: 'DIR',
    }),
    context: shared.context,
  };
  static override result = extractedSchema;

  async run() {
    const input = await this.input(DataExtract);
    const { flags } = input;
    const result = await extract({ ...flags, signal: this.signal });
    this.print(extractedText(result));
    for (const left of leftOutTexts(result)) this.caution(left);
    this.print(next(`aiot model train${again(input, 'project')} --data ${flags.out}`));
    return result;
  }
}
