import { Args, Flags } from '@oclif/core';
import { alarmAcknowledgedSchema } from '../../lib/api/contract/alarms.js';
import { selectorTexts } from '../../lib/cli/flags/fleet.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { alarmAcknowledgedText } from '../../lib/cli/render/alarms.js';

export default class AlarmAck extends PlatformCommand {
  static override summary = "Acknowledge an alarm's open incidents.";
  static override description =
    'Records in the audit log that someone is handling the incidents. They stay open until their condition ends. Fails if there is no open incident.';
  static override examples = [
    "<%= config.bin %> <%= command.id %> hot --note 'fan is being replaced'",
    '<%= config.bin %> <%= command.id %> hot --selector motor-3 --json',
  ];
  static override args = { name: Args.string({ required: true, description: 'Alarm name.' }) };
  static override flags = {
    selector: Flags.string({
      ...selectorTexts,
      summary: 'Only the incidents of these devices: a name, a list or an expression.',
    }),
    note: Flags.string({ summary: 'Note for other operators.', env: 'AIOT_NOTE', helpValue: 'TEXT' }),
    context: shared.context,
  };
  static override result = alarmAcknowledgedSchema;

  async run() {
    const input = await this.input(AlarmAck);
    const { selector, note } = input.flags;
    return this.ask(
      input,
      ({ alarms }) => alarms.acknowledge(input.args.name, { selector, note }),
      (shown) => alarmAcknowledgedText(shown),
      () => ['aiot alarm list'],
    );
  }
}
