import { Args, Flags } from '@oclif/core';
import { withClient } from '../../lib/api/context.js';
import { auditVerifiedSchema, verifyAudit, verifyAuditFile } from '../../lib/api/events/audit.js';
import { AiotCommand } from '../../lib/cli/command.js';
import { auditHead } from '../../lib/cli/flags/platform.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { auditVerifiedText } from '../../lib/cli/render/platform.js';
import { next } from '../../lib/cli/render/text.js';

export default class AuditVerify extends AiotCommand {
  static override summary = 'Check that the audit log is unchanged.';
  static override description =
    'Each entry contains the hash of the entry before it. The command reads all entries and checks the hashes on this computer. An attacker with access to the database could write a new log with correct hashes. The command therefore remembers the last entry that it verified, and expects to find it again. You can also store the head elsewhere, and pass it with --head.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> audit.ndjson',
    '<%= config.bin %> <%= command.id %> --head 1204:HASH',
  ];
  static override args = {
    file: Args.string({ description: "File written by aiot audit export [default: the platform's log]." }),
  };
  static override flags = {
    head: auditHead({
      summary: 'Entry that the log must contain, with its hash, as printed by an earlier verification.',
      env: 'AIOT_HEAD',
      helpValue: 'N:HASH',
    }),
    forget: Flags.boolean({
      summary: 'Skip the comparison with the last verification; required after a restore.',
      env: 'AIOT_FORGET',
    }),
    context: shared.context,
  };
  static override result = auditVerifiedSchema;

  async run() {
    const input = await this.input(AuditVerify);
    const { head, forget, context } = input.flags;
    const { file } = input.args;
    const verified =
      file === undefined
        ? await withClient(context, (client) => verifyAudit(client, { head, forget }))
        : await verifyAuditFile(file, { head });
    this.print(auditVerifiedText(verified));
    if (file === undefined)
      this.suggest(next(`aiot audit export --out audit.ndjson${again(input, 'context')}`));
    return verified;
  }
}
