import { Flags } from '@oclif/core';
import * as z from 'zod';
import { AiotCommand } from '../../../lib/cli/command.js';
import { shared } from '../../../lib/cli/flags/shared.js';
import { again } from '../../../lib/cli/invocation.js';
import { next } from '../../../lib/cli/render/text.js';
import { trainingRunsTable } from '../../../lib/cli/render/training-runs.js';
import { listTrainingRuns, trainingRunSchema } from '../../../lib/model/runs/record.js';

export default class ModelRunsList extends AiotCommand {
  static override summary = "List a project's training runs, newest first.";
  static override description =
    'Every `model train` records a run in build/runs: settings, data digest, seed, metrics, environment and a copy of the model. `model train --search` adds one for each candidate. A run whose process was killed is shown as unfinished.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --project motor-watch --last 5 --json',
  ];
  static override flags = {
    project: shared.project,
    last: Flags.integer({
      char: 'n',
      summary: 'Maximum number of runs.',
      env: 'AIOT_LAST',
      min: 1,
      default: 20,
      helpValue: 'N',
    }),
  };
  static override result = z.array(trainingRunSchema);

  async run() {
    const input = await this.input(ModelRunsList);
    const runs = await listTrainingRuns(input.flags.project, input.flags.last);
    this.print(trainingRunsTable(runs));
    const at = again(input, 'project');
    const following = runs.length > 1 ? [`aiot model runs compare${at}`] : [];
    this.suggest(
      runs.length > 0 ? next(`aiot model runs show${at}`, ...following) : next(`aiot model train${at}`),
    );
    return runs;
  }
}
