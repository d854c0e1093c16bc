import { AiotCommand } from '../../../lib/cli/command.js';
import { shared } from '../../../lib/cli/flags/shared.js';
import { again } from '../../../lib/cli/invocation.js';
import { next } from '../../../lib/cli/render/text.js';
import { runsComparisonText } from '../../../lib/cli/render/training-runs.js';
import { reportFile, reportFlags } from '../../../lib/cli/report.js';
import { writeRunsReport } from '../../../lib/model/report/runs-page.js';
import { compareTrainingRuns, runsComparisonSchema } from '../../../lib/model/runs/compare.js';

export default class ModelRunsCompare extends AiotCommand {
  static override summary = 'Compare training runs: settings and metrics.';
  static override description =
    'Takes two or more run IDs, or their first characters. Without run IDs, compares up to 50 finished runs on the same data as the newest one. Shows the settings that differ and all metrics, and warns if the data or the split differs. The report has a parallel-coordinates plot.';
  static override usage = 'model runs compare [RUN]…';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> tr_06bpb2t8f1 tr_06bpb2wq3k --json',
    '<%= config.bin %> <%= command.id %> --report runs.html',
  ];
  // Any number of runs.
  static override strict = false;
  static override flags = { project: shared.project, ...reportFlags };
  static override result = runsComparisonSchema;

  async run() {
    const input = await this.input(ModelRunsCompare);
    const { flags } = input;
    const report = await reportFile(flags, 'training-runs');
    const comparison = await compareTrainingRuns(flags.project, input.words);
    if (report !== undefined) await writeRunsReport(report, flags.project, comparison);
    await this.showReport(report, flags);
    this.print(runsComparisonText(comparison));
    this.suggest(next(`aiot model runs best${again(input, 'project')}`));
    return comparison;
  }
}
