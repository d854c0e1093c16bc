import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../../lib/cli/command.js';
import { duration, shared } from '../../../lib/cli/flags/shared.js';
import { again } from '../../../lib/cli/invocation.js';
import { next } from '../../../lib/cli/render/text.js';
import { plural } from '../../../lib/core/figures.js';
import { removedRunsSchema, removeTrainingRuns, runsToRemove } from '../../../lib/model/runs/record.js';

export default class ModelRunsRemove extends AiotCommand {
  static override aliases = ['model:runs:rm'];
  static override summary = 'Remove one training run, or all old ones.';
  static override description =
    'Removes the record and the copies of the files in build/runs. The model in build/ is unaffected. A run in progress cannot be removed.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> tr_06bpb2t8f1',
    '<%= config.bin %> <%= command.id %> --keep 20',
    '<%= config.bin %> <%= command.id %> --older-than 720h --yes --json',
  ];
  static override args = { run: Args.string({ description: 'Run ID, or its first characters.' }) };
  static override flags = {
    project: shared.project,
    keep: Flags.integer({
      summary: 'Remove all runs except the newest N.',
      env: 'AIOT_KEEP',
      min: 0,
      helpValue: 'N',
    }),
    'older-than': duration({
      summary: 'Remove runs older than this, such as 720h.',
      env: 'AIOT_OLDER_THAN',
    }),
    yes: shared.yes,
  };
  static override result = removedRunsSchema;

  async run() {
    const input = await this.input(ModelRunsRemove);
    const { args, flags } = input;
    const which = { run: args.run, keep: flags.keep, olderThan: flags['older-than'] };
    const runs = await runsToRemove(flags.project, which);
    const what = runs.length === 1 ? runs[0] : plural(runs.length, 'training run');
    if (runs.length > 0) await this.agreeToLose(`Permanently remove ${what} with its files?`, flags.yes);
    const result = await removeTrainingRuns(flags.project, runs);
    this.print(`Removed ${plural(runs.length, 'training run')}; ${result.left} left.`);
    this.suggest(next(`aiot model runs list${again(input, 'project')}`));
    return result;
  }
}
