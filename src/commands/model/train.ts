import { basename, join } from 'node:path';
import { AiotCommand, again, facts, next, percent, shared, size } from '../../lib/cli/index.js';
import { openModelProject, trainProject, trainResultSchema, writeReport } from '../../lib/model/index.js';

export default class ModelTrain extends AiotCommand {
  static override summary = "Train the project's network on its recordings.";
  static override description =
    'Recordings are divided into training, validation and test parts as model.split says; the epoch that does best on the validation part is kept. Writes build/model.float.tflite and build/training.json.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --project motor-watch --report report.html',
  ];
  static override flags = { project: shared.project, data: shared.data, report: shared.report };
  static override result = trainResultSchema;

  async run() {
    const input = await this.input(ModelTrain);
    const { flags } = input;
    const at = again(input, 'project', 'data');
    const project = await openModelProject(flags.project, flags.data);
    const { update } = this.progress();
    const result = await trainProject({
      project,
      data: flags.data,
      signal: this.signal,
      onEpoch: ({ epoch, epochs, loss, valAccuracy }) =>
        update({
          text: `epoch ${epoch}  loss ${loss.toFixed(3)}  validation ${percent(valAccuracy ?? 0)}`,
          done: epoch,
          total: epochs,
        }),
    });
    if (flags.report) await writeReport({ file: flags.report, project });
    const { bestEpoch, valAccuracy, accuracy } = result.metrics;
    this.print(
      facts([
        ['Model', `${result.model}, ${size(result.bytes)} float`],
        ['Windows', `${result.windows.train} to train, ${result.windows.validation} to choose the epoch by`],
        ['Epochs', `${result.epochs} in ${result.seconds.toFixed(1)} s; kept number ${bestEpoch}`],
        ['Accuracy', `${percent(accuracy ?? 0)} training, ${percent(valAccuracy ?? 0)} validation`],
        ['File', join(flags.project, 'build', basename(result.file))],
        ...(flags.report ? [['Report', flags.report] as [string, string]] : []),
      ]),
    );
    this.print(next(`aiot model quantize${at}`));
    return result;
  }
}
