import { Args, Flags } from '@oclif/core';
import { alarmAcknowledgedSchema } from '../../lib/api/contract/alarms.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { alarmAcknowledgedText } from '../../lib/cli/render/alarms.js';

export default class AlarmAck extends PlatformCommand {
  static override summary = "Acknowledge an alarm's open incidents.";
  static override description =
    'Records in the audit log that someone is handling the incidents. They stay open until their condition ends. Fails if there is no open incident.';
  static override examples = [
    "<%= config.bin %> <%= command.id %> hot --note 'fan is being replaced'",
    '<%= config.bin %> <%= command.id %> hot --device motor-3 --json',
  ];
  static override args = { name: Args.string({ required: true, description: 'Alarm name.' }) };
  static override flags = {
    device: Flags.string({
      summary: "Only this device's incident.",
      env: 'AIOT_DEVICE',
      helpValue: 'NAME',
    }),
    note: Flags.string({ summary: 'Note for other operators.', env: 'AIOT_NOTE', helpValue: 'TEXT' }),
    context: shared.context,
  };
  static override result = alarmAcknowledgedSchema;

  async run() {
    const input = await this.input(AlarmAck);
    const { device, note } = input.flags;
    return this.ask(
      input,
      ({ alarms }) => alarms.acknowledge(input.args.name, { device, note }),
      (shown) => alarmAcknowledgedText(shown),
      () => ['aiot alarm list'],
    );
  }
}
