import { Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { upFlags } from '../../lib/cli/flags/platform.js';
import { again } from '../../lib/cli/invocation.js';
import { damageText } from '../../lib/cli/render/platform.js';
import { next } from '../../lib/cli/render/text.js';
import { passphraseFile, readPassphrase } from '../../lib/cli/secrets.js';
import { platformFolder } from '../../lib/platform/up/options.js';
import { verifiedSchema, verifyPlatform } from '../../lib/platform/verify/verify.js';

export default class PlatformVerify extends AiotCommand {
  static override summary = "Check a platform's data folder for damage and repair it.";
  static override description =
    "Checks the database, telemetry, the broker's log, each blob's digest, keys and permissions, and references between records and blobs. You can check while the platform runs; --repair requires a stopped platform. A repair changes only damaged data, takes missing data from the backup in --from, and keeps the damaged database. Exits with 6 if damage remains.";
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --data ./platform --json',
    '<%= config.bin %> <%= command.id %> --data ./platform --repair --from platform.tar --passphrase-file passphrase.txt',
  ];
  static override flags = {
    data: upFlags.data,
    repair: Flags.boolean({
      summary: 'Repair damaged data. The platform must be stopped.',
      env: 'AIOT_REPAIR',
    }),
    from: Flags.string({
      summary: 'Backup of this platform to repair from.',
      env: 'AIOT_FROM',
      helpValue: 'BACKUP',
      dependsOn: ['repair'],
    }),
    'passphrase-file': passphraseFile,
  };
  static override result = verifiedSchema;

  async run() {
    const input = await this.input(PlatformVerify);
    const { repair, from, 'passphrase-file': file, data } = input.flags;
    const backup =
      from === undefined
        ? undefined
        : { file: from, passphrase: await readPassphrase(file, { twice: false, signal: this.signal }) };
    const verified = await verifyPlatform({
      ...{ data: platformFolder(data), repair, backup },
      caPassphrase: process.env.AIOT_CA_PASSPHRASE || undefined,
    });
    this.print(damageText(verified));
    const at = again(input, 'data');
    if (verified.unrepaired > 0) {
      this.exitsWith(6);
      const stop = verified.running ? [`aiot down${at}`] : [];
      this.suggest(next(...stop, `aiot platform verify${at} --repair --from BACKUP`));
    } else if (!verified.running) this.suggest(next(`aiot up${at}`));
    return verified;
  }
}
