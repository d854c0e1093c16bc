import {
  AiotCommand,
  again,
  bold,
  dim,
  green,
  next,
  plural,
  red,
  shared,
  yellow,
} from '../../lib/cli/index.js';
import { loadProject } from '../../lib/core/index.js';
import { checkProject, checkReportSchema } from '../../lib/data/index.js';

const marks = { error: () => red('✗'), warning: () => yellow('!'), info: () => dim('i') };

export default class DataCheck extends AiotCommand {
  static override summary =
    'Look for what makes figures a fiction: copies, artefacts, gaps, values out of range.';
  static override description = 'Ends with exit code 6 when something found would make training meaningless.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --data ../other-recordings --json',
  ];
  static override flags = { project: shared.project, data: shared.data };
  static override result = checkReportSchema;

  async run() {
    const input = await this.input(DataCheck);
    const { flags } = input;
    const at = again(input, 'project', 'data');
    const report = await checkProject(await loadProject(flags.project), flags.data);
    const { split } = report;
    this.print(`${plural(report.recordings, 'recording')}, ${plural(report.samples, 'sample')}`);
    if (split) {
      this.print(
        `Split by ${split.by}, seed ${split.seed}: ${split.train} to train on, ${split.validation} to choose by, ${split.test} to test on`,
      );
    }
    for (const { severity, kind, message, advice } of report.findings) {
      this.print(`\n${marks[severity]()} ${bold(kind)}  ${message}\n  ${dim(advice)}`);
    }
    if (report.findings.length === 0) this.print(green('Nothing found.'));
    this.print(next(report.ok ? `aiot model train${at}` : `aiot data list${at}`));
    if (!report.ok) this.exitsWith(6);
    return report;
  }
}
