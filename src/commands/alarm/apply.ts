import { projectAlarmsAppliedSchema } from '../../lib/api/contract/alarm-targets.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { alarmsAppliedText, alarmsRemovedText } from '../../lib/cli/render/alarms.js';
import { applyProjectAlarms } from '../../lib/project/alarms.js';

export default class AlarmApply extends PlatformCommand {
  static override summary = "Apply the alarms and targets in a project's aiot.yaml.";
  static override description =
    "Creates, changes and removes the project's alarms so that they match those under alarms: in the file. Does the same for the targets of their messages, under notify:. Alarms and targets from outside the project are not changed. A changed alarm starts over, and its open incidents end. aiot up --project applies them too.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> --project fan --dry-run',
    '<%= config.bin %> <%= command.id %> --project fan --yes --json',
  ];
  static override flags = {
    project: shared.project,
    'dry-run': shared['dry-run'],
    yes: shared.yes,
    context: shared.context,
  };
  static override result = projectAlarmsAppliedSchema;

  async run() {
    const input = await this.input(AlarmApply);
    const { project, 'dry-run': dryRun, yes } = input.flags;
    return this.ask(
      input,
      (client) =>
        applyProjectAlarms(client, {
          project,
          dryRun,
          confirmed: (planned) => this.agreeToLose(alarmsRemovedText(planned), yes),
        }),
      alarmsAppliedText,
      () => ['aiot alarm list'],
    );
  }
}
