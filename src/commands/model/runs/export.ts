import { Flags } from '@oclif/core';
import { AiotCommand } from '../../../lib/cli/command.js';
import { folderToFill, shared } from '../../../lib/cli/flags/shared.js';
import { again } from '../../../lib/cli/invocation.js';
import { next, shownPath } from '../../../lib/cli/render/text.js';
import { plural } from '../../../lib/core/figures.js';
import { exportedRunsSchema, exportMlflow } from '../../../lib/model/runs/mlflow.js';

export default class ModelRunsExport extends AiotCommand {
  static override summary = 'Export the training runs to MLflow.';
  static override description =
    'Writes a file store that MLflow can use as its tracking URI: an experiment for each model, and its runs with params, metrics, tags and artifacts. The folder must be new or empty. Runs in progress are skipped.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> --format mlflow --out mlruns',
    '<%= config.bin %> <%= command.id %> --out mlruns --project motor-watch --json',
  ];
  static override flags = {
    project: shared.project,
    format: Flags.option({ options: ['mlflow'] as const })({
      summary: 'Export format.',
      env: 'AIOT_FORMAT',
      default: 'mlflow',
    }),
    out: folderToFill,
  };
  static override result = exportedRunsSchema;

  async run() {
    const input = await this.input(ModelRunsExport);
    const { flags } = input;
    const result = await exportMlflow({ dir: flags.project, out: flags.out });
    for (const { name, runs } of result.experiments) this.print(`${name}: ${plural(runs, 'run')}`);
    const left =
      result.skipped.length > 0 ? `, without ${plural(result.skipped.length, 'run')} in progress` : '';
    this.print(`Exported to ${shownPath(result.out)}${left}.`);
    this.suggest(next(`aiot model runs list${again(input, 'project')}`));
    return result;
  }
}
