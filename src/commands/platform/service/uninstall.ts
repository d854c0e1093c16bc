import { Flags } from '@oclif/core';
import { AiotCommand } from '../../../lib/cli/command.js';
import { shared } from '../../../lib/cli/flags/shared.js';
import { next } from '../../../lib/cli/render/text.js';
import { uninstalledPlatformSchema, uninstallPlatform } from '../../../lib/platform/up/install.js';

export default class PlatformServiceUninstall extends AiotCommand {
  static override summary = "Remove the platform's systemd service; data is kept.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> --dry-run',
    '<%= config.bin %> <%= command.id %> --json',
  ];
  static override flags = {
    'unit-dir': Flags.string({
      summary: 'Folder with the unit file [default: /etc/systemd/system].',
      env: 'AIOT_UNIT_DIR',
      helpValue: 'DIR',
    }),
    'dry-run': shared['dry-run'],
  };
  static override result = uninstalledPlatformSchema;

  async run() {
    const { flags } = await this.input(PlatformServiceUninstall);
    const { 'unit-dir': unitDir, 'dry-run': dryRun } = flags;
    const result = await uninstallPlatform({ unitDir, dryRun });
    const { file, removed } = result;
    this.print(removed ? `Removed ${file}.` : dryRun ? `Would remove ${file}.` : `${file} does not exist.`);
    if (removed || dryRun) this.suggest(next(...result.stop));
    return result;
  }
}
