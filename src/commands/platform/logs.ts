import { Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { upFlags } from '../../lib/cli/flags/platform.js';
import { duration } from '../../lib/cli/flags/shared.js';
import { logText } from '../../lib/cli/render/platform.js';
import { logLineSchema, readLogs } from '../../lib/platform/up/logs.js';

export default class PlatformLogs extends AiotCommand {
  static override summary = 'Show the logs of the platform on this machine.';
  static override description =
    'For a platform in the background (aiot up --detach), reads platform.log in its data folder. For a service (aiot platform service install), reads the system journal. With --json, prints one JSON object per line.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --follow --since 10m',
    '<%= config.bin %> <%= command.id %> --data ./platform --last 20 --json',
  ];
  static override flags = {
    data: upFlags.data,
    follow: Flags.boolean({
      char: 'f',
      summary: 'Keep waiting for new lines, until Ctrl-C.',
      env: 'AIOT_FOLLOW',
    }),
    since: duration({ summary: 'Maximum age of the lines to show, such as 10m or 24h.', env: 'AIOT_SINCE' }),
    last: Flags.integer({
      char: 'n',
      min: 1,
      summary: 'Show only the last N lines.',
      env: 'AIOT_LAST',
      helpValue: 'N',
    }),
  };
  static override result = logLineSchema;

  async run(): Promise<undefined> {
    const { flags } = await this.input(PlatformLogs);
    const { data, follow, since: age, last } = flags;
    const since = age === undefined ? undefined : Date.now() - age;
    let lines = 0;
    for await (const line of readLogs({ data, follow, since, last, signal: this.signal })) {
      lines++;
      this.item(line, () => logText(line));
    }
    if (lines === 0) this.note('No log entries: only warnings and errors are logged');
    return undefined;
  }
}
