import { train } from '../../index.js';
import { AiotCommand } from '../../lib/cli/command.js';
import { trainingFlags } from '../../lib/cli/flags/models.js';
import { again } from '../../lib/cli/invocation.js';
import { watchEpochs } from '../../lib/cli/live/epochs.js';
import { next } from '../../lib/cli/render/text.js';
import { searchText, trainingText } from '../../lib/cli/render/training.js';
import { reportFile } from '../../lib/cli/report.js';
import { trainedSchema } from '../../lib/model/train/train-model.js';

export default class ModelTrain extends AiotCommand {
  static override summary = 'Train a model on recordings or on the rows of a table.';
  static override description =
    "Without --data, trains on the project's recordings, divided into a training, a validation and a test set according to model.split. Flags override aiot.yaml. The epoch with the best validation result is kept. With a CSV file, each column other than the label is a model input, used unchanged; no aiot.yaml is needed. A split that leaks is rejected with exit code 6. Ctrl-C keeps the best epoch so far, and --resume continues, with the same result as an uninterrupted run. With --json, prints each epoch as a line on stderr. Writes build/model.float.tflite and build/training.json, and records a run (see `model runs`).";
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --project motor-watch --report report.html',
    '<%= config.bin %> <%= command.id %> --data rows.csv --epochs 50 --batch 32 --seed 7 --json',
    '<%= config.bin %> <%= command.id %> --data rows.csv --label temperature --output value',
    '<%= config.bin %> <%= command.id %> --leave-one-out recording',
    '<%= config.bin %> <%= command.id %> --search 30',
  ];
  static override flags = trainingFlags;
  static override result = trainedSchema;

  async run() {
    const input = await this.input(ModelTrain);
    const { flags } = input;
    const event = (value: object) => this.event(value);
    const update = this.jsonEnabled() ? () => {} : this.progress().update;
    const onEpoch = watchEpochs({ event, update });
    const report = await reportFile(flags, 'training');
    const result = await train({
      ...flags,
      ...{ leaveOneOut: flags['leave-one-out'], report },
      onProgress: ({ epoch, step }) => {
        if (epoch) return onEpoch(epoch);
        event({ event: 'step', text: step });
        update(step);
      },
      signal: this.signal,
    });
    await this.showReport(report, flags);
    const at = again(input, 'project', 'data');
    if ('candidates' in result) {
      this.print(searchText(result));
      if (result.best === null) this.exitsWith(6);
      this.suggest(next(`aiot model train${at}`));
      return result;
    }
    this.print(trainingText(result, at));
    this.suggest(next(`aiot model quantize${at}`));
    return result;
  }
}
