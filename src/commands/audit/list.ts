import { Flags } from '@oclif/core';
import { auditLogSchema } from '../../lib/api/events/audit.js';
import { auditType } from '../../lib/cli/flags/platform.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { auditTable } from '../../lib/cli/render/platform.js';

export default class AuditList extends PlatformCommand {
  static override summary = 'List changes and denied attempts, with their users.';
  static override description =
    'Shows the newest entries of the audit log, oldest first. Connections and measurements of devices are not in the audit log; see aiot events tail.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> --type access.deny',
    "<%= config.bin %> <%= command.id %> --user 'user ada' --limit 1000 --json",
    '<%= config.bin %> <%= command.id %> --subject har@3',
  ];
  static override flags = {
    type: auditType({
      summary: 'Only entries of this type, such as user.add or user.*.',
      env: 'AIOT_TYPE',
      helpValue: 'TYPE',
    }),
    subject: Flags.string({
      summary:
        'Only entries about this subject: a device, a version such as har@3, or har for all its versions.',
      env: 'AIOT_SUBJECT',
      helpValue: 'NAME',
    }),
    user: Flags.string({
      summary: "Only entries of this user, such as 'user ada', operator or 'device motor-1'.",
      env: 'AIOT_USER',
      helpValue: 'USER',
    }),
    limit: Flags.integer({
      summary: 'Maximum number of entries.',
      default: 50,
      min: 1,
      max: 1000,
      env: 'AIOT_LIMIT',
      helpValue: 'N',
    }),
    context: shared.context,
  };
  static override result = auditLogSchema.shape.entries;

  async run() {
    const input = await this.input(AuditList);
    const { type, subject, user: who, limit } = input.flags;
    return this.ask(
      input,
      async ({ audit }) => (await audit.log({ type, subject, who, limit, newest: true })).entries,
      auditTable,
      () => ['aiot audit verify'],
    );
  }
}
