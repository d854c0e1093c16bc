import { Args } from '@oclif/core';
import { alarmShownSchema } from '../../lib/api/contract/alarms.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { alarmShownText } from '../../lib/cli/render/alarms.js';

export default class AlarmShow extends PlatformCommand {
  static override summary = 'Show an alarm, its incidents and their samples.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> hot',
    '<%= config.bin %> <%= command.id %> hot --json',
  ];
  static override args = { name: Args.string({ required: true, description: 'Alarm name.' }) };
  static override flags = { context: shared.context };
  static override result = alarmShownSchema;

  async run() {
    const input = await this.input(AlarmShow);
    const { name } = input.args;
    return this.ask(
      input,
      ({ alarms }) => alarms.get(name),
      (shown) => alarmShownText(shown),
      ({ alarm }) => [alarm.unacknowledged > 0 ? `aiot alarm ack ${name} --note TEXT` : 'aiot alarm list'],
    );
  }
}
