import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { columnList, rowsFlags } from '../../lib/cli/flags/models.js';
import { decimal, shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { driftText } from '../../lib/cli/render/data.js';
import { next } from '../../lib/cli/render/text.js';
import { reportFile, reportFlags } from '../../lib/cli/report.js';
import { loadProject } from '../../lib/core/project.js';
import { shellWord } from '../../lib/core/text.js';
import { compareData } from '../../lib/data/drift/drift.js';
import { writeDriftReport } from '../../lib/data/drift/report.js';
import { driftSchema } from '../../lib/data/drift/result.js';
import { openEmbeddings } from '../../lib/model/embeddings.js';

export default class DataDrift extends AiotCommand {
  static override summary = 'Detect data drift per column and overall.';
  static override description =
    "BASE and NOW are CSV files, folders of recordings, or projects. BASE may also be a reference made by aiot data stats --save. With a single argument, the baseline is the project's own recordings. The result also shows when the drift started. Exits with 6 if a limit is exceeded: --fail-on-drift, --max-psi, or the project's model.accept.drift.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> last-month.csv today.csv',
    '<%= config.bin %> <%= command.id %> today.csv --project motor-watch --windows 1h --report drift.html',
    '<%= config.bin %> <%= command.id %> reference.json today.csv --max-psi 0.2 --json',
  ];
  static override args = {
    base: Args.string({
      required: true,
      description: 'Baseline data. If NOW is omitted, BASE is compared with the project’s recordings.',
    }),
    now: Args.string({ description: 'Data to compare with the baseline.' }),
  };
  static override flags = {
    project: shared.project,
    ...rowsFlags,
    windows: Flags.string({
      summary: 'Split NOW into this many windows, or into windows of this duration.',
      env: 'AIOT_WINDOWS',
      helpValue: 'N|TIME',
    }),
    alpha: decimal({ summary: 'False-positive rate for unchanged data [default: 0.01].', env: 'AIOT_ALPHA' }),
    bins: Flags.integer({
      min: 2,
      max: 100,
      summary: 'Number of bins for PSI and Jensen–Shannon divergence [default: 10].',
      env: 'AIOT_BINS',
      helpValue: 'N',
    }),
    embeddings: Flags.boolean({
      summary: 'Compare embeddings: the inputs of the last layer of the project’s model.',
      env: 'AIOT_EMBEDDINGS',
      exclusive: ['columns', 'label', 'prediction', 'time'],
    }),
    'fail-on-drift': Flags.boolean({
      summary: 'Exit with 6 if anything has drifted.',
      env: 'AIOT_FAIL_ON_DRIFT',
    }),
    'max-psi': decimal({
      summary: 'Exit with 6 if the PSI of any column is higher than this.',
      env: 'AIOT_MAX_PSI',
    }),
    ...reportFlags,
  };
  static override result = driftSchema;

  async run() {
    const input = await this.input(DataDrift);
    const { args, flags, given } = input;
    const alone = args.now === undefined;
    const report = await reportFile(flags, 'drift');
    const usesProject = alone || given('project') || flags.embeddings;
    const project = usesProject ? await loadProject(flags.project) : undefined;
    const drift = await compareData({
      ...flags,
      base: alone ? undefined : args.base,
      now: args.now ?? args.base,
      project,
      open: project && flags.embeddings ? await openEmbeddings(project) : undefined,
      columns: columnList(flags.columns),
      limits: { none: flags['fail-on-drift'], psi: flags['max-psi'] },
    });
    if (report !== undefined) await writeDriftReport(report, drift);
    this.print(driftText(drift));
    await this.showReport(report, flags);
    const words = [args.base, ...(alone ? [] : [args.now!])].map((word) => ` ${shellWord(word)}`).join('');
    if (drift.drifted && drift.windows.length === 0)
      this.suggest(next(`aiot data drift${words}${again(input, 'project')} --windows 12`));
    if (!drift.ok) this.exitsWith(6);
    return drift;
  }
}
