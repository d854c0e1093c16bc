import { Args } from '@oclif/core';
import { alarmSchema } from '../../lib/api/contract/alarms.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';

export default class AlarmRemove extends PlatformCommand {
  static override summary = 'Remove an alarm and its incidents.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> hot',
    '<%= config.bin %> <%= command.id %> hot --yes --json',
  ];
  static override args = { name: Args.string({ required: true, description: 'Alarm name.' }) };
  static override flags = { yes: shared.yes, context: shared.context };
  static override result = alarmSchema;

  async run() {
    const input = await this.input(AlarmRemove);
    const { name } = input.args;
    return this.ask(
      input,
      async ({ alarms }) => {
        await alarms.get(name);
        await this.agreeToLose(`Permanently remove the alarm ${name} and its incidents?`, input.flags.yes);
        return alarms.remove(name);
      },
      () => `Removed the alarm ${name} and its incidents.`,
      () => ['aiot alarm list'],
    );
  }
}
