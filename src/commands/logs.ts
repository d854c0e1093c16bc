import { Flags } from '@oclif/core';
import { AiotCommand } from '../lib/cli/command.js';
import { upFlags } from '../lib/cli/flags/platform.js';
import { duration } from '../lib/cli/flags/shared.js';
import { logText } from '../lib/cli/render/platform.js';
import { logLineSchema, readLogs } from '../lib/platform/up/logs.js';

export default class Logs extends AiotCommand {
  static override summary = 'Show what the platform on this machine has logged.';
  static override description =
    'Of one in the background (aiot up --detach) platform.log of its folder, of a service (aiot platform install) the system’s journal. Under --json a line of JSON each.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --follow --since 10m',
    '<%= config.bin %> <%= command.id %> --data ./platform --last 20 --json',
  ];
  static override flags = {
    data: upFlags.data,
    follow: Flags.boolean({
      char: 'f',
      summary: 'Go on with those to come, until Ctrl-C.',
      env: 'AIOT_FOLLOW',
    }),
    since: duration({ summary: 'Of this time until now, such as 10m or 24h.', env: 'AIOT_SINCE' }),
    last: Flags.integer({ char: 'n', min: 1, summary: 'Only the last so many.', env: 'AIOT_LAST' }),
  };
  static override result = logLineSchema;

  async run(): Promise<undefined> {
    const { flags } = await this.input(Logs);
    const { data, follow, since: age, last } = flags;
    const since = age === undefined ? undefined : Date.now() - age;
    let lines = 0;
    for await (const line of readLogs({ data, follow, since, last, signal: this.signal })) {
      lines++;
      this.item(line, () => logText(line));
    }
    if (lines === 0) this.note('nothing was logged: only what somebody should look at is');
    return undefined;
  }
}
