import { Flags } from '@oclif/core';
import { AiotCommand } from '../../../lib/cli/command.js';
import { shared } from '../../../lib/cli/flags/shared.js';
import { again } from '../../../lib/cli/invocation.js';
import { next } from '../../../lib/cli/render/text.js';
import { bestRunText } from '../../../lib/cli/render/training-runs.js';
import { bestRunSchema, bestTrainingRun } from '../../../lib/model/runs/compare.js';

export default class ModelRunsBest extends AiotCommand {
  static override summary = 'Show the best training run on the current data.';
  static override description =
    "Compares the finished runs that used the same data as the newest one. Runs with a leaking split, and candidates that violate model.accept, are left out. Metrics on the validation set are compared only within the same split. Also counts the runs whose 95 % interval overlaps the best run's: the data does not show that they are worse.";
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --metric foldsMacroF1 --json',
  ];
  static override flags = {
    project: shared.project,
    metric: Flags.string({
      summary:
        'Metric to compare by [default: one measured over folds if available, otherwise one on the validation set].',
      env: 'AIOT_METRIC',
      helpValue: 'NAME',
    }),
  };
  static override result = bestRunSchema;

  async run() {
    const input = await this.input(ModelRunsBest);
    const result = await bestTrainingRun(input.flags.project, input.flags.metric);
    this.print(bestRunText(result));
    this.suggest(next(`aiot model runs show ${result.best.run}${again(input, 'project')}`));
    return result;
  }
}
