import { Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { instant, shared, streamArg } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { damagedText } from '../../lib/cli/render/datasets.js';
import { next } from '../../lib/cli/render/text.js';
import { size } from '../../lib/core/figures.js';
import { withClient } from '../../lib/registry/context.js';
import { exportFormats } from '../../lib/registry/datasets/bodies.js';
import { exportDataset, exportedSchema } from '../../lib/registry/datasets/save.js';

export default class DataExport extends AiotCommand {
  static override summary = 'Write telemetry of the platform into a file: CSV, NDJSON or Parquet.';
  static override description =
    'Every sample is a row with device, recording, number of its message, time and label, then the stream’s fields. Recordings come by device and name, each in its own order. The file is there when it is whole. Where the platform has lost rows, or cannot read them, the file has all others and the exit code is 3.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> motion --format parquet --out motion.parquet',
    '<%= config.bin %> <%= command.id %> motion --device waist-1 --label walking --from 2026-11-20 --out walking.csv',
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
      summary: 'What the file is.',
      env: 'AIOT_FORMAT',
    })(),
    device: Flags.string({ summary: 'Of this device only.', env: 'AIOT_DEVICE', helpValue: 'NAME' }),
    recording: Flags.string({ summary: 'Of this recording only.', env: 'AIOT_RECORDING', helpValue: 'NAME' }),
    label: Flags.string({ char: 'l', summary: 'Samples with this label only.', env: 'AIOT_LABEL' }),
    from: instant({ summary: 'Samples of this time and after.', env: 'AIOT_FROM' }),
    'allow-damaged': Flags.boolean({
      summary: 'Exit with 0 also where stored rows are damaged or missing.',
      env: 'AIOT_ALLOW_DAMAGED',
    }),
    to: instant({ summary: 'Samples of this time and before.', env: 'AIOT_TO' }),
    context: shared.context,
  };
  static override result = exportedSchema;

  async run() {
    const input = await this.input(DataExport);
    const { args, flags } = input;
    const { out, format, device, recording, label, from, to, context } = flags;
    const query = { format, device, recording, label, from, to };
    const exported = await withClient(context, (client) =>
      exportDataset(client, { stream: args.stream, query, out, signal: this.signal }),
    );
    this.print(`${exported.file}: ${size(exported.bytes)} of ${format}`);
    const { damaged } = exported;
    if (damaged.places.length > 0) {
      this.print(damagedText(damaged));
      if (!flags['allow-damaged']) this.exitsWith(3);
    }
    this.print(next(`aiot data list ${args.stream}${again(input, 'context')}`));
    return exported;
  }
}
