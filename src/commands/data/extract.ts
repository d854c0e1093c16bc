import { Flags } from '@oclif/core';
import { extract } from '../../index.js';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { extractedText, leftOutTexts } from '../../lib/cli/render/data.js';
import { next } from '../../lib/cli/render/text.js';
import { extractedSchema, extractSources } from '../../lib/data/sources/extract.js';

export default class DataExtract extends AiotCommand {
  static override summary = 'Build a training dataset from telemetry or project data.';
  static override description =
    "--from auto uses the labeled recordings of the project's stream on the current platform, or the project's own data if there are none. Recordings without a label are left out. In an architects-guide context, a project with model.table uses the rows that the guide's extract step labeled. An autoencoder uses the raw files. This is the first step of aiot pipeline run; pass the result to later commands with --data.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> --out extracted',
    '<%= config.bin %> <%= command.id %> --project motor-watch --from platform --out extracted --json',
  ];
  static override flags = {
    project: shared.project,
    data: shared.data,
    from: Flags.option({ options: extractSources, default: 'auto' as const })({
      summary: 'Data source.',
      env: 'AIOT_FROM',
    }),
    out: Flags.string({
      char: 'o',
      required: true,
      summary: 'Folder to create, or a CSV file for a project with model.table.',
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
    this.suggest(next(`aiot model train${again(input, 'project')} --data ${flags.out}`));
    return result;
  }
}
