import { Flags } from '@oclif/core';
import { AiotCommand } from '../lib/cli/command.js';
import { duration } from '../lib/cli/flags/shared.js';
import { next } from '../lib/cli/render/text.js';
import { lookForUpdate, updateSchema } from '../lib/doctor/update.js';

export default class Update extends AiotCommand {
  static override summary = 'Say which version this is and, when asked, whether there is a newer one.';
  static override description =
    'With --check npm asks the registry that it is set up for. Without it nothing leaves this machine, here as everywhere in aiot. Installs nothing.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> --check',
    '<%= config.bin %> <%= command.id %> --check --json',
  ];
  static override flags = {
    check: Flags.boolean({ summary: 'Ask the registry.', env: 'AIOT_CHECK' }),
    timeout: duration({
      summary: 'How long the registry may take to answer.',
      env: 'AIOT_TIMEOUT',
      default: 30_000,
    }),
  };
  static override result = updateSchema;

  async run() {
    const { flags } = await this.input(Update);
    const found = await lookForUpdate({
      ...{ check: flags.check, timeoutMs: flags.timeout, signal: this.signal },
    });
    const { version, checked, latest, newer, install } = found;
    if (!checked) this.print(`aiot ${version}; nobody was asked for a newer one`);
    else this.print(newer ? `aiot ${version}; ${latest} is there` : `aiot ${version} is the newest`);
    this.print(next(checked ? (newer ? install : 'aiot doctor') : 'aiot update --check'));
    return found;
  }
}
