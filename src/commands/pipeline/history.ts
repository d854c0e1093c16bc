import { Flags } from '@oclif/core';
import * as z from 'zod';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { runsTable } from '../../lib/cli/render/pipeline.js';
import { next } from '../../lib/cli/render/text.js';
import { runRecordSchema } from '../../lib/pipeline/run/record.js';
import { pipelineHistory } from '../../lib/pipeline/status.js';

export default class PipelineHistory extends AiotCommand {
  static override summary = "List a project's pipeline runs, newest first.";
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --last 5 --json',
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
  static override result = z.array(runRecordSchema);

  async run() {
    const input = await this.input(PipelineHistory);
    const { flags } = input;
    const runs = await pipelineHistory({ dir: flags.project, limit: flags.last });
    this.print(runsTable(runs));
    const at = again(input, 'project');
    const [newest] = runs;
    this.suggest(next(newest ? `aiot pipeline status ${newest.run}${at}` : `aiot pipeline run${at}`));
    return runs;
  }
}
