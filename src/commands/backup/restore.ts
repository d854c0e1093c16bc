import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { upFlags } from '../../lib/cli/flags/platform.js';
import { backupText } from '../../lib/cli/render/platform.js';
import { bold, next } from '../../lib/cli/render/text.js';
import { passphraseFile, readPassphrase } from '../../lib/cli/secrets.js';
import { shellWord } from '../../lib/core/text.js';
import { restoreBackup, restoredSchema } from '../../lib/platform/backup/restore.js';
import { platformFolder } from '../../lib/platform/up/options.js';

export default class BackupRestore extends AiotCommand {
  static override summary = 'Restore a platform from a backup into an empty folder.';
  static override description =
    'The restore is all or nothing: every byte is checked before anything is written, and existing data is never changed. Devices and tokens keep their access. With --database or --blobs, data is restored into an empty PostgreSQL database or bucket. The backup can come from a platform with any database or blob store.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> platform.tar --data ./platform',
    '<%= config.bin %> <%= command.id %> platform.tar --check --json',
    '<%= config.bin %> <%= command.id %> platform.tar --data ./platform --database postgres://aiot@db/aiot',
  ];
  static override args = {
    file: Args.string({ required: true, description: 'File created by aiot backup create.' }),
  };
  static override flags = {
    data: {
      ...upFlags.data,
      summary: 'Data folder to restore into; must be empty [default: a folder in your user data directory].',
    },
    database: {
      ...upFlags.database,
      summary: 'Restore state into this empty PostgreSQL database: postgres://USER@HOST/NAME.',
    },
    blobs: {
      ...upFlags.blobs,
      summary: 'Restore blobs into this empty S3 bucket: s3://BUCKET?endpoint=https://HOST.',
    },
    check: Flags.boolean({
      summary: 'Check every byte without restoring anything.',
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
    this.print(made === null ? `${bold(args.file)} is intact.` : `Restored the platform to ${bold(made)}.`);
    this.print(backupText(restored));
    const engines =
      database === undefined && blobs === undefined ? '' : ' (with the same --database and --blobs)';
    this.suggest(
      next(
        made === null
          ? `aiot backup restore ${shellWord(args.file)}`
          : `aiot up --data ${shellWord(made)}${engines}`,
      ),
    );
    return restored;
  }
}
