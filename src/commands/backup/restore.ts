import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { upFlags } from '../../lib/cli/flags/platform.js';
import { backupText } from '../../lib/cli/render/platform.js';
import { bold } from '../../lib/cli/render/style.js';
import { next } from '../../lib/cli/render/text.js';
import { passphraseFile, readPassphrase } from '../../lib/cli/secrets.js';
import { shellWord } from '../../lib/core/text.js';
import { restoreBackup, restoredSchema } from '../../lib/platform/backup/restore.js';
import { platformFolder } from '../../lib/platform/up/options.js';

export default class BackupRestore extends AiotCommand {
  static override summary = 'Make a platform of a backup, in an empty folder.';
  static override description =
    'All of it or nothing: every byte is checked before anything is put in place, and what is there already is never touched. Devices and tokens are let in as before. With --database or --blobs it goes into an empty PostgreSQL or bucket, whatever it came from.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> platform.tar --data ./platform',
    '<%= config.bin %> <%= command.id %> platform.tar --check --json',
    '<%= config.bin %> <%= command.id %> platform.tar --data ./platform --database postgres://aiot@db/aiot',
  ];
  static override args = { file: Args.string({ required: true, description: 'Of aiot backup create.' }) };
  static override flags = {
    data: upFlags.data,
    database: upFlags.database,
    blobs: upFlags.blobs,
    check: Flags.boolean({
      summary: 'Check every byte, and restore nothing.',
      env: 'AIOT_CHECK',
      exclusive: ['database', 'blobs'],
    }),
    'passphrase-file': passphraseFile,
  };
  static override result = restoredSchema;

  async run() {
    const { args, flags } = await this.input(BackupRestore);
    const { database, blobs, check } = flags;
    const passphrase = await readPassphrase(flags['passphrase-file'], { twice: false, signal: this.signal });
    const data = check ? null : platformFolder(flags.data);
    const restored = await restoreBackup({ file: args.file, passphrase, data, engines: { database, blobs } });
    const { data: made } = restored;
    this.print(made === null ? `${bold(args.file)} is whole.` : `${bold(made)} is the platform again.`);
    this.print(backupText(restored));
    const engines =
      database === undefined && blobs === undefined ? '' : ' (with the same --database and --blobs)';
    this.print(
      next(
        made === null
          ? `aiot backup restore ${shellWord(args.file)}`
          : `aiot up --data ${shellWord(made)}${engines}`,
      ),
    );
    return restored;
  }
}
