import {
  AiotCommand,
  again,
  next,
  reportFile,
  reportFlags,
  rolloutId,
  rolloutReportText,
  shared,
} from '../../lib/cli/index.js';
import {
  rolloutReport,
  rolloutReportSchema,
  withClient,
  writeRolloutPage,
} from '../../lib/registry/index.js';

export default class OtaReport extends AiotCommand {
  static override summary = 'Show who did what to a rollout and when, and what each device has proved.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> ro_01k2',
    '<%= config.bin %> <%= command.id %> ro_01k2 --json',
    '<%= config.bin %> <%= command.id %> ro_01k2 --report rollout.html --open',
  ];
  static override args = rolloutId;
  static override flags = { ...reportFlags, context: shared.context };
  static override result = rolloutReportSchema;

  async run() {
    const input = await this.input(OtaReport);
    const { args, flags } = input;
    const file = await reportFile(flags, 'rollout');
    const report = await withClient(flags.context, (client) => rolloutReport(client, args.id));
    if (file !== undefined) await writeRolloutPage(file, report);
    this.print(rolloutReportText(report));
    await this.showReport(file, flags);
    this.print(next(`aiot events tail --subject ${args.id} --from 0${again(input, 'context')}`));
    return report;
  }
}
