import { Args } from '@oclif/core';
import { alarmTestSchema } from '../../lib/api/contract/alarms.js';
import { duration, shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { alarmTestText } from '../../lib/cli/render/alarms.js';

export default class AlarmTest extends PlatformCommand {
  static override summary = 'Replay recorded telemetry through an alarm.';
  static override description =
    "Shows when the alarm would have fired, and for how long. Nothing is stored or sent. Absences are counted only from the platform's last start, because recordings do not show when the platform was offline. An alarm on offline devices (--offline-devices) cannot be tested.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> hot --since 7d',
    '<%= config.bin %> <%= command.id %> hot --since 1h --json',
  ];
  static override args = { name: Args.string({ required: true, description: 'Alarm name.' }) };
  static override flags = {
    since: duration({
      summary: 'Maximum age of the telemetry.',
      env: 'AIOT_SINCE',
      default: 7 * 86_400_000,
      max: 90 * 86_400_000,
    }),
    context: shared.context,
  };
  static override result = alarmTestSchema;

  async run() {
    const input = await this.input(AlarmTest);
    const { name } = input.args;
    return this.ask(
      input,
      ({ alarms }) => alarms.test(name, { sinceMs: input.flags.since }),
      alarmTestText,
      () => [`aiot alarm show ${name}`],
    );
  }
}
