import { Args } from '@oclif/core';
import { alarmTargetSchema } from '../../../lib/api/contract/alarm-targets.js';
import { shared } from '../../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../../lib/cli/platform-command.js';

export default class AlarmTargetRemove extends PlatformCommand {
  static override summary = 'Stop sending incidents to an alarm target.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> ops',
    '<%= config.bin %> <%= command.id %> ops --yes --json',
  ];
  static override args = { name: Args.string({ required: true, description: 'Name of the target.' }) };
  static override flags = { yes: shared.yes, context: shared.context };
  static override result = alarmTargetSchema;

  async run() {
    const input = await this.input(AlarmTargetRemove);
    const { name } = input.args;
    return this.ask(
      input,
      async ({ alarmTargets }) => {
        await this.agreeToLose(`Remove the alarm target ${name} and its unsent messages?`, input.flags.yes);
        return alarmTargets.remove(name);
      },
      ({ url }) => `Removed ${name}; no more incidents are sent to ${url}.`,
      () => ['aiot alarm target list'],
    );
  }
}
