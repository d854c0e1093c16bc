import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { hertz, labelFrom } from '../../lib/cli/flags/models.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { findingCases, junitReport } from '../../lib/cli/junit.js';
import { checkText } from '../../lib/cli/render/data.js';
import { next } from '../../lib/cli/render/text.js';
import { AiotError, hasCode } from '../../lib/core/errors.js';
import { loadProject, type Project } from '../../lib/core/project.js';
import { shellWord } from '../../lib/core/text.js';
import { checkPath } from '../../lib/data/check/files.js';
import { checkProject } from '../../lib/data/check/project.js';
import { checkReportSchema } from '../../lib/data/check/report.js';

export default class DataCheck extends AiotCommand {
  static override summary = 'Check data for leaks, wrong labels or units, and bad values.';
  static override description =
    "Without a path, checks the project's recordings. A folder of CSV recordings, passed as the path, needs no project; if it has the folders train, validation and test, that split is checked. A CSV file is read as a table of rows. Each recording is compared with the others that have the same label, to find wrong units, axes and rates, offsets and spikes. Each finding shows the affected files, its confidence and how to fix it. Exits with 6 if a finding would make accuracy figures misleading.";
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> recordings --rate 100 --json',
    '<%= config.bin %> <%= command.id %> rows.csv',
  ];
  static override args = {
    path: Args.string({ description: 'Folder of recordings, or a CSV file of rows.' }),
  };
  static override flags = {
    project: shared.project,
    data: shared.data,
    rate: hertz({ summary: 'Sampling rate of recordings outside a project.', env: 'AIOT_RATE' }),
    'label-from': labelFrom(),
    window: Flags.integer({
      min: 1,
      summary: 'Samples per window of recordings outside a project.',
      env: 'AIOT_WINDOW',
      helpValue: 'SAMPLES',
    }),
    junit: shared.junit,
    all: Flags.boolean({ summary: 'List all files for each finding.', env: 'AIOT_ALL' }),
  };
  static override result = checkReportSchema;

  async run() {
    const input = await this.input(DataCheck);
    const { flags, args, given } = input;
    const { path } = args;
    const ofProject = path === undefined || given('project');
    for (const flag of ['rate', 'label-from', 'window'] as const)
      if (ofProject && given(flag))
        throw new AiotError(
          'AIOT_USAGE',
          `--${flag} applies to data outside a project; a project sets it in aiot.yaml`,
          {
            next: 'Change aiot.yaml, or pass the folder or file as PATH, without --project.',
          },
        );
    const junit = await junitReport(flags.junit, 'data check');
    const report = ofProject
      ? await checkProject(await projectOf(flags), flags.data ?? path)
      : await checkPath({ path, rateHz: flags.rate, labelFrom: flags['label-from'], window: flags.window });
    await junit(findingCases(report.findings));
    this.print(checkText(report, { all: flags.all }));
    const at = again(input, 'project', 'data');
    if (report.of === 'project' || (report.of === 'table' && path === undefined && report.ok))
      this.suggest(next(report.ok ? `aiot model train${at}` : `aiot data list${at}`));
    else if (report.of === 'table' && path !== undefined && report.ok && !report.split)
      this.suggest(next(`aiot model train --data ${shellWord(path)}`));
    if (!report.ok) this.exitsWith(6);
    return report;
  }
}

/** Loads the project. For --data without a project, the error suggests passing the folder as the path. */
async function projectOf({ project, data }: { project: string; data: string | undefined }): Promise<Project> {
  return loadProject(project).catch((error: unknown) => {
    if (data === undefined || !hasCode(error, 'AIOT_PROJECT_NOT_FOUND')) throw error;
    throw new AiotError('AIOT_PROJECT_NOT_FOUND', error.message, {
      next: `To check recordings without a project, run \`aiot data check ${shellWord(data)}\`.`,
      cause: error,
    });
  });
}
