import { withClient } from '../../lib/api/context.js';
import { writeRolloutPage } from '../../lib/api/rollouts/page/page.js';
import { rolloutReport, rolloutReportSchema } from '../../lib/api/rollouts/report.js';
import { AiotCommand } from '../../lib/cli/command.js';
import { rolloutId } from '../../lib/cli/flags/rollouts.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { rolloutReportText } from '../../lib/cli/render/rollout.js';
import { next } from '../../lib/cli/render/text.js';
import { reportFile, reportFlags } from '../../lib/cli/report.js';

export default class RolloutReport extends AiotCommand {
  static override summary = "Show a rollout's audit trail and the devices' proofs.";
  static override description = "A proof is a device's signed confirmation of a commit.";
  static override hiddenAliases = ['ota:report'];
  static override examples = [
    '<%= config.bin %> <%= command.id %> ro_01k2',
    '<%= config.bin %> <%= command.id %> ro_01k2 --json',
    '<%= config.bin %> <%= command.id %> ro_01k2 --report rollout.html --open',
  ];
  static override args = rolloutId;
  static override flags = { ...reportFlags, context: shared.context };
  static override result = rolloutReportSchema;

  async run() {
    const input = await this.input(RolloutReport);
    const { args, flags } = input;
    const file = await reportFile(flags, 'rollout');
    const report = await withClient(flags.context, (client) => rolloutReport(client, args.id));
    if (file !== undefined) await writeRolloutPage(file, report);
    this.print(rolloutReportText(report));
    await this.showReport(file, flags);
    this.suggest(next(`aiot events tail --subject ${args.id} --from 0${again(input, 'context')}`));
    return report;
  }
}
