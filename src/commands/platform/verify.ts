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
  static override summary = 'Look for damage in a platform’s data folder, and repair it.';
  static override description =
    'Checks the database, the journal and its index, the broker’s log, each blob against its digest, keys and permissions, and that records and blobs refer to each other. To look is possible while the platform runs; --repair needs it stopped. Repair touches only what is damaged, takes it from the backup of --from where the folder does not have it, and keeps the damaged database beside the new one. Exit code 6: something is damaged and not repaired.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --data ./platform --json',
    '<%= config.bin %> <%= command.id %> --data ./platform --repair --from platform.tar --passphrase-file passphrase.txt',
  ];
  static override flags = {
    data: upFlags.data,
    repair: Flags.boolean({
      summary: 'Repair what is damaged. The platform must be stopped.',
      env: 'AIOT_REPAIR',
    }),
    from: Flags.string({
      summary: 'A backup of this platform to repair from.',
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
      this.print(next(...stop, `aiot platform verify${at} --repair --from BACKUP`));
    } else if (!verified.running) this.print(next(`aiot up${at}`));
    return verified;
  }
}
