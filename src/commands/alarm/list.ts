import { alarmsSchema } from '../../lib/api/contract/alarms.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { alarmsTable } from '../../lib/cli/render/alarms.js';

export default class AlarmList extends PlatformCommand {
  static override summary = 'List alarms with their open incidents.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --json',
  ];
  static override flags = { context: shared.context };
  static override result = alarmsSchema.shape.alarms;

  async run() {
    return this.ask(
      await this.input(AlarmList),
      ({ alarms }) => alarms.list(),
      alarmsTable,
      (alarms) => {
        const open = alarms.find((alarm) => alarm.open > 0) ?? alarms[0];
        return [
          open ? `aiot alarm show ${open.name}` : "aiot alarm create --name NAME --where 'FIELD > VALUE'",
        ];
      },
    );
  }
}
