import { AiotCommand, again, next, runArg, runStateText, shared } from '../../lib/cli/index.js';
import { cancelPipeline, runRecordSchema } from '../../lib/pipeline/index.js';

export default class PipelineCancel extends AiotCommand {
  static override summary = 'End a run with all that it started.';
  static override description =
    'Steps that are done stay known. Of a runner that was killed, what it left running is ended.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --project motor-watch --json',
  ];
  static override args = runArg;
  static override flags = { project: shared.project };
  static override result = runRecordSchema;

  async run() {
    const input = await this.input(PipelineCancel);
    const { args, flags } = input;
    const record = await cancelPipeline({ dir: flags.project, run: args.run });
    this.print(`${record.run} is ${runStateText(record.state)}`);
    this.print(next(`aiot pipeline resume ${record.run}${again(input, 'project')}`));
    return record;
  }
}
