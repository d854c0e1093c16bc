import { Args, Flags } from '@oclif/core';
import { withClient } from '../../lib/api/context.js';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { backupText } from '../../lib/cli/render/platform.js';
import { bold, next } from '../../lib/cli/render/text.js';
import { passphraseFile, readPassphrase } from '../../lib/cli/secrets.js';
import { shellWord } from '../../lib/core/text.js';
import { restoredSchema, saveBackup } from '../../lib/platform/backup/restore.js';

export default class BackupCreate extends AiotCommand {
  static override summary = 'Back up a running platform to a single file.';
  static override description =
    "The backup is a consistent snapshot of tables, blobs, telemetry and the CA, including everything acknowledged before it started. The CA's key, tokens and secrets are encrypted with a passphrase, which is required to restore the file. Set the passphrase with AIOT_BACKUP_PASSPHRASE or --passphrase-file, or type it. The file gets its final name only after it has been read back and verified.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> platform.tar',
    '<%= config.bin %> <%= command.id %> platform.tar --passphrase-file passphrase.txt --json',
  ];
  static override args = { file: Args.string({ required: true, description: 'File to create.' }) };
  static override flags = {
    'passphrase-file': passphraseFile,
    'allow-damaged': Flags.boolean({
      summary: 'Back up a damaged platform: damaged blobs are left out, and all damage is listed.',
      env: 'AIOT_ALLOW_DAMAGED',
    }),
    context: shared.context,
  };
  static override result = restoredSchema;

  async run() {
    const { args, flags } = await this.input(BackupCreate);
    const { file } = args;
    const { signal } = this;
    const passphrase = await readPassphrase(flags['passphrase-file'], { twice: true, signal });
    const saved = await withClient(flags.context, (client) =>
      saveBackup({ client, file, passphrase, allowDamaged: flags['allow-damaged'], signal }),
    );
    this.print(`Backed up the platform to ${bold(file)}.`);
    this.print(backupText(saved));
    this.suggest(next(`aiot backup restore ${shellWord(file)} --check`));
    return saved;
  }
}
