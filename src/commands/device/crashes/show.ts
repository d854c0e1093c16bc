import { Args } from '@oclif/core';
import { crashShownSchema } from '../../../lib/api/contract/crashes.js';
import { shared } from '../../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../../lib/cli/platform-command.js';
import { crashShownText } from '../../../lib/cli/render/crashes.js';

export default class DeviceCrashesShow extends PlatformCommand {
  static override summary = 'Show a crash: its calls, registers and last log lines.';
  static override description =
    'Shows one report by its ID, or the newest report of a group by its signature. Passwords, tokens and keys in the texts are hidden.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> 3f2ac81b90de',
    '<%= config.bin %> <%= command.id %> 3f2ac81b90de --json',
  ];
  static override args = {
    id: Args.string({ required: true, description: 'ID of a report, or signature of a group.' }),
  };
  static override flags = { context: shared.context };
  static override result = crashShownSchema;

  async run() {
    const input = await this.input(DeviceCrashesShow);
    return this.ask(
      input,
      ({ crashes }) => crashes.get(input.args.id),
      (shown) => crashShownText(shown),
      ({ device, frames, report }) => [
        ...(report.firmware?.build !== undefined && frames[0]?.function === null
          ? ['aiot firmware symbols ELF']
          : []),
        `aiot device crashes list --selector ${device}`,
      ],
    );
  }
}
