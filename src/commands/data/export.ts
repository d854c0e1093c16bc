import { Flags } from '@oclif/core';
import { exportFormats } from '../../lib/api/contract/data.js';
import { exportDataset, exportedSchema } from '../../lib/api/datasets/save.js';
import { selectorTexts } from '../../lib/cli/flags/fleet.js';
import { instant, shared, streamArg } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { damagedText } from '../../lib/cli/render/datasets.js';
import { size } from '../../lib/core/figures.js';

export default class DataExport extends PlatformCommand {
  static override summary = 'Export telemetry to a CSV, NDJSON or Parquet file.';
  static override description =
    "Each sample is a row: device, recording, message number, time and label, then the stream's fields. Recordings are sorted by device and name; samples keep their order. The file appears only once it is complete. If the platform has lost or damaged rows, the file contains all other rows and the exit code is 3.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> motion --format parquet --out motion.parquet',
    '<%= config.bin %> <%= command.id %> motion --selector waist-1 --label walking --from 2026-11-20 --out walking.csv',
  ];
  static override args = { stream: streamArg };
  static override flags = {
    out: Flags.string({
      char: 'o',
      required: true,
      summary: 'File to write.',
      env: 'AIOT_OUT',
      helpValue: 'FILE',
    }),
    format: Flags.option({
      options: exportFormats,
      default: 'csv' as const,
      summary: 'File format.',
      env: 'AIOT_FORMAT',
    })(),
    selector: Flags.string({
      ...selectorTexts,
      summary: 'Only these devices: a name, a list or an expression.',
    }),
    recording: Flags.string({ summary: 'Only this recording.', env: 'AIOT_RECORDING', helpValue: 'NAME' }),
    label: Flags.string({ char: 'l', summary: 'Only samples with this label.', env: 'AIOT_LABEL' }),
    from: instant({
      summary: 'Only samples from this time on, such as 2026-11-20T10:00:00Z.',
      env: 'AIOT_FROM',
    }),
    'allow-damaged': Flags.boolean({
      summary: 'Exit with 0 even if stored rows are damaged or missing.',
      env: 'AIOT_ALLOW_DAMAGED',
    }),
    to: instant({ summary: 'Only samples up to this time, such as 2026-11-21.', env: 'AIOT_TO' }),
    context: shared.context,
  };
  static override result = exportedSchema;

  async run() {
    const input = await this.input(DataExport);
    const { args, flags } = input;
    const { out, format, selector, recording, label, from, to } = flags;
    const query = { format, selector, recording, label, from, to };
    const exported = await this.ask(
      input,
      (client) => exportDataset(client, { stream: args.stream, query, out, signal: this.signal }),
      ({ file, bytes, damaged }) => {
        const saved = `${file}: ${size(bytes)} of ${format}`;
        return damaged.places.length > 0 ? `${saved}\n${damagedText(damaged)}` : saved;
      },
      () => [`aiot data list ${args.stream}`],
    );
    if (exported.damaged.places.length > 0 && !flags['allow-damaged']) this.exitsWith(3);
    return exported;
  }
}
