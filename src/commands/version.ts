import { Flags } from '@oclif/core';
import { AiotCommand } from '../lib/cli/command.js';
import { duration } from '../lib/cli/flags/shared.js';
import { next } from '../lib/cli/render/text.js';
import { lookForUpdate, updateSchema } from '../lib/doctor/update.js';

export default class Version extends AiotCommand {
  static override summary = 'Show the installed version.';
  static override description =
    'With --check, npm asks its configured registry for a newer version. Without --check, no network request is made. Installs nothing.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --check',
    '<%= config.bin %> <%= command.id %> --check --json',
  ];
  static override flags = {
    check: Flags.boolean({ summary: 'Look for a newer version in the registry.', env: 'AIOT_CHECK' }),
    timeout: duration({
      summary: "Time limit for the registry's response.",
      env: 'AIOT_TIMEOUT',
      default: 30_000,
    }),
  };
  static override result = updateSchema;

  async run() {
    const { flags } = await this.input(Version);
    const found = await lookForUpdate({
      ...{ check: flags.check, timeoutMs: flags.timeout, signal: this.signal },
    });
    const { version, checked, latest, newer, install } = found;
    if (!checked) this.print(`aiot ${version}; not checked for updates`);
    else
      this.print(newer ? `aiot ${version}; ${latest} is available` : `aiot ${version} is the latest version`);
    this.suggest(next(checked ? (newer ? install : 'aiot doctor') : 'aiot version --check'));
    return found;
  }
}
