import { Args, Flags } from '@oclif/core';
import { withClient } from '../../lib/api/context.js';
import { AiotCommand } from '../../lib/cli/command.js';
import { hertz } from '../../lib/cli/flags/models.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import {
  recordingsTable,
  rejectedText,
  resampledText,
  timeText,
  unusedText,
} from '../../lib/cli/render/data.js';
import { next } from '../../lib/cli/render/text.js';
import { loadProject } from '../../lib/core/project.js';
import { boxUses } from '../../lib/data/sources/boxes.js';
import { importRecordings, importResultSchema } from '../../lib/data/sources/import.js';

export default class DataImport extends AiotCommand {
  static override summary = 'Import recordings from files, or from a platform stream.';
  static override description =
    "A CSV file needs a header with the names of the project's fields. It may also have columns for the time, the device and the label; the rate of the time column must match the project's. A WAV file (16-bit PCM) is resampled to the project's rate; a project with one field gets the mean of all channels. If ffmpeg is installed, the same applies to FLAC, MP3, Ogg, Opus, M4A, AAC and AIFF files. The label comes from --label, or from the letters at the start of the file name (walking for walking12.csv). Files written by aiot data export (CSV or NDJSON) and --stream include devices, recordings and labels. A recording with several labels is split into one recording per part. In a project of pictures, a COCO file (.json), a Pascal VOC file (.xml) or a folder of these adds annotated pictures: each box becomes a recording with its label. If model.kind is fomo, each picture becomes a recording with its boxes.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> ../recordings',
    '<%= config.bin %> <%= command.id %> take7.csv --label walking --device waist-1',
    '<%= config.bin %> <%= command.id %> yes7.wav --label yes',
    '<%= config.bin %> <%= command.id %> annotations/instances.json --pictures photos',
    '<%= config.bin %> <%= command.id %> --stream motion',
  ];
  static override args = {
    from: Args.string({ description: 'File or folder of recordings, instead of --stream.' }),
  };
  static override flags = {
    project: shared.project,
    stream: Flags.string({
      summary: 'Import the recordings of this stream from the platform.',
      env: 'AIOT_STREAM',
      helpValue: 'STREAM',
    }),
    context: shared.context,
    label: Flags.string({ char: 'l', summary: 'Label of the recordings.', env: 'AIOT_LABEL' }),
    device: Flags.string({
      summary: 'Device that made the recordings.',
      env: 'AIOT_DEVICE',
      helpValue: 'NAME',
    }),
    rate: hertz({ summary: "Sampling rate of the recordings; must match the project's.", env: 'AIOT_RATE' }),
    pictures: Flags.string({
      summary: 'Folder of the annotated pictures, if it is not beside the annotations.',
      env: 'AIOT_PICTURES',
      helpValue: 'DIR',
    }),
    boxes: Flags.string({
      summary:
        'Import each box (crop), the whole picture with the label of its boxes (picture), or the picture with its boxes (keep) [default: crop; keep for a fomo model].',
      env: 'AIOT_BOXES',
      options: [...boxUses],
    }),
    'known-only': Flags.boolean({
      summary: 'Skip boxes with labels that are not in model.labels.',
      env: 'AIOT_KNOWN_ONLY',
    }),
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
        pictures: flags.pictures,
        boxes: flags.boxes as (typeof boxUses)[number] | undefined,
        knownOnly: flags['known-only'],
        dryRun: flags['dry-run'],
        signal: this.signal,
      });
    const { stream: name, context } = flags;
    const result = await (name === undefined
      ? read()
      : withClient(context, (client) => read({ name, client })));
    this.print(recordingsTable(result.imported, 'nothing new'));
    if (result.time !== null) this.print(`Time column: ${timeText(result.time)}; not imported`);
    const converted = resampledText(result.resampled, project.config.signal.rate);
    if (converted !== null) this.print(converted);
    const unused = unusedText(result.unused);
    if (unused !== null) this.print(unused);
    const rejected = rejectedText(result.rejected);
    if (rejected !== null) this.print(rejected);
    if (result.skipped.length > 0) this.print(`${result.skipped.length} already present`);
    if (result.dryRun) this.print('Nothing was written (--dry-run)');
    this.suggest(next(`aiot data check${at}`, `aiot model train${at}`));
    return result;
  }
}
