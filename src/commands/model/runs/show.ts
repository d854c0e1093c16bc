import { AiotCommand } from '../../../lib/cli/command.js';
import { runArg } from '../../../lib/cli/flags/projects.js';
import { shared } from '../../../lib/cli/flags/shared.js';
import { again } from '../../../lib/cli/invocation.js';
import { next } from '../../../lib/cli/render/text.js';
import { trainingRunText } from '../../../lib/cli/render/training-runs.js';
import { shownRunSchema, showTrainingRun } from '../../../lib/model/runs/record.js';

export default class ModelRunsShow extends AiotCommand {
  static override summary = 'Show a training run: settings, metrics and files.';
  static override description =
    'Metrics over folds are listed for each fold, with the 95 % interval of their mean. Metrics that start with inner are measured on the inner folds of a search.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> tr_06bpb2t8f1 --project motor-watch --json',
  ];
  static override args = runArg;
  static override flags = { project: shared.project };
  static override result = shownRunSchema;

  async run() {
    const input = await this.input(ModelRunsShow);
    const run = await showTrainingRun(input.flags.project, input.args.run);
    this.print(trainingRunText(run));
    this.suggest(next(`aiot model runs list${again(input, 'project')}`));
    return run;
  }
}
