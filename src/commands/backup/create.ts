import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { backupText } from '../../lib/cli/render/platform.js';
import { bold } from '../../lib/cli/render/style.js';
import { next } from '../../lib/cli/render/text.js';
import { passphraseFile, readPassphrase } from '../../lib/cli/secrets.js';
import { shellWord } from '../../lib/core/text.js';
import { restoredSchema, saveBackup } from '../../lib/platform/backup/restore.js';
import { withClient } from '../../lib/registry/context.js';

export default class BackupCreate extends AiotCommand {
  static override summary = 'Get all that a running platform keeps into one file.';
  static override description =
    'Tables, blobs, telemetry and the CA, of one moment: all that was acknowledged before it began. The CA’s key, tokens and secrets are sealed with a passphrase, without which the file cannot be restored: AIOT_BACKUP_PASSPHRASE, --passphrase-file, or typed. The file is read again to its last byte before it has its name.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> platform.tar',
    '<%= config.bin %> <%= command.id %> platform.tar --passphrase-file passphrase.txt --json',
  ];
  static override args = { file: Args.string({ required: true, description: 'Made by this.' }) };
  static override flags = {
    'passphrase-file': passphraseFile,
    'allow-damaged': Flags.boolean({
      summary: 'Make a backup of a damaged platform: without damaged blobs, and naming all that is damaged.',
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
    this.print(`${bold(file)} holds the platform.`);
    this.print(backupText(saved));
    this.print(next(`aiot backup restore ${shellWord(file)} --check`));
    return saved;
  }
}
