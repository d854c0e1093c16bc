import { Flags } from '@oclif/core';
import { AiotCommand } from '../../../lib/cli/command.js';
import { upFlags, upOptionsOf } from '../../../lib/cli/flags/platform.js';
import { shared } from '../../../lib/cli/flags/shared.js';
import { installedPlatformText } from '../../../lib/cli/render/platform.js';
import { next } from '../../../lib/cli/render/text.js';
import { installedPlatformSchema, installPlatform } from '../../../lib/platform/up/install.js';

const {
  detach: _,
  'new-token': __,
  project: ___,
  set: ____,
  'board-port': _____,
  ...platformFlags
} = upFlags;

export default class PlatformServiceInstall extends AiotCommand {
  static override summary = 'Install the platform as a systemd service.';
  static override description =
    'The service starts at boot, with a watchdog, resource limits and restricted access to the machine. It runs aiot up with the flags given here. Addresses with passwords are stored in /etc/aiot/platform.env.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> --dry-run',
    '<%= config.bin %> <%= command.id %> --user dynamic --host 0.0.0.0 --memory 2G',
    '<%= config.bin %> <%= command.id %> --blobs s3://models?endpoint=https://s3.example --unit-dir .',
  ];
  static override flags = {
    ...platformFlags,
    user: Flags.string({
      summary:
        'User that runs the service; dynamic = a user that systemd creates [default: you, or dynamic for root].',
      env: 'AIOT_USER',
      helpValue: 'NAME',
    }),
    memory: Flags.string({
      summary: 'Memory limit, such as 1G; the platform is restarted when it exceeds the limit.',
      env: 'AIOT_MEMORY',
      default: '1G',
      helpValue: 'SIZE',
    }),
    'unit-dir': Flags.string({
      summary: 'Folder for the unit file [default: /etc/systemd/system].',
      env: 'AIOT_UNIT_DIR',
      helpValue: 'DIR',
    }),
    'dry-run': shared['dry-run'],
  };
  static override result = installedPlatformSchema;

  async run() {
    const { flags } = await this.input(PlatformServiceInstall);
    const { user, memory, 'unit-dir': unitDir, 'dry-run': dryRun, ...rest } = flags;
    const up = upOptionsOf({
      ...rest,
      ...{ detach: false, 'new-token': false, project: undefined, set: undefined, 'board-port': undefined },
    });
    const installed = await installPlatform({ up, user, memory, unitDir, dryRun });
    this.print(installedPlatformText(installed));
    this.suggest(next(...installed.start));
    return installed;
  }
}
