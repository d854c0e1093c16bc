import { alarmTargetsSchema } from '../../../lib/api/contract/alarm-targets.js';
import { shared } from '../../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../../lib/cli/platform-command.js';
import { alarmTargetsTable } from '../../../lib/cli/render/alarms.js';

export default class AlarmTargetList extends PlatformCommand {
  static override summary = 'List alarm targets with their delivery status.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --json',
  ];
  static override flags = { context: shared.context };
  static override result = alarmTargetsSchema.shape.targets;

  async run() {
    return this.ask(
      await this.input(AlarmTargetList),
      ({ alarmTargets }) => alarmTargets.list(),
      (targets) => alarmTargetsTable(targets),
      (targets) => {
        const failing = targets.find(({ error }) => error !== null);
        return [failing ? `aiot alarm target test ${failing.name}` : 'aiot alarm target add NAME URL'];
      },
    );
  }
}
