import { Args } from '@oclif/core';
import { alarmTargetTestSchema } from '../../../lib/api/contract/alarm-targets.js';
import { shared } from '../../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../../lib/cli/platform-command.js';
import { alarmTargetTestText } from '../../../lib/cli/render/alarms.js';

export default class AlarmTargetTest extends PlatformCommand {
  static override summary = 'Send a test message to an alarm target now.';
  static override description =
    'Makes a single attempt. Exits with 6 if the target did not accept the message.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> ops',
    '<%= config.bin %> <%= command.id %> ops --json',
  ];
  static override args = { name: Args.string({ required: true, description: 'Name of the target.' }) };
  static override flags = { context: shared.context };
  static override result = alarmTargetTestSchema;

  async run() {
    const input = await this.input(AlarmTargetTest);
    const tested = await this.ask(
      input,
      ({ alarmTargets }) => alarmTargets.test(input.args.name),
      (test) => alarmTargetTestText(test),
      () => ['aiot alarm target list'],
    );
    if (!tested.delivered) this.exitsWith(6);
    return tested;
  }
}
