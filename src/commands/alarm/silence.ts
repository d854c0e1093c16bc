import { Args, Flags } from '@oclif/core';
import { alarmSchema, longestAlarmMs } from '../../lib/api/contract/alarms.js';
import { duration, shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { alarmText } from '../../lib/cli/render/alarms.js';

export default class AlarmSilence extends PlatformCommand {
  static override summary = "Silence an alarm's notifications.";
  static override description =
    'Use it for maintenance. Incidents are still recorded. If one is still open when the silence ends, its notification is sent then. --for 0s ends the silence.';
  static override examples = [
    "<%= config.bin %> <%= command.id %> hot --for 2h --note 'oven test'",
    '<%= config.bin %> <%= command.id %> hot --for 0s --json',
  ];
  static override args = { name: Args.string({ required: true, description: 'Alarm name.' }) };
  static override flags = {
    for: duration({
      summary: 'Duration of the silence, at most 90d.',
      env: 'AIOT_FOR',
      default: 2 * 3600_000,
      max: longestAlarmMs,
    }),
    note: Flags.string({ summary: 'Note for other operators.', env: 'AIOT_NOTE', helpValue: 'TEXT' }),
    context: shared.context,
  };
  static override result = alarmSchema;

  async run() {
    const input = await this.input(AlarmSilence);
    const { for: forMs, note } = input.flags;
    return this.ask(
      input,
      ({ alarms }) => alarms.silence(input.args.name, { forMs, note }),
      (alarm) => alarmText(alarm),
      () => ['aiot alarm list'],
    );
  }
}
