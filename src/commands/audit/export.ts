import { Flags } from '@oclif/core';
import { auditExportedSchema, exportAudit } from '../../lib/api/events/audit.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { auditExportedText } from '../../lib/cli/render/platform.js';
import { shellWord } from '../../lib/core/text.js';

export default class AuditExport extends PlatformCommand {
  static override summary = 'Write the audit log to a file.';
  static override description =
    'Writes one JSON object per line, and checks each entry while writing. The file appears only once it is complete.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> --out audit.ndjson',
    '<%= config.bin %> <%= command.id %> --after 1204 --out audit-since.ndjson',
  ];
  static override flags = {
    out: Flags.string({
      char: 'o',
      required: true,
      summary: 'File to write.',
      env: 'AIOT_OUT',
      helpValue: 'FILE',
    }),
    after: Flags.integer({
      summary: 'Only entries after this one.',
      default: 0,
      min: 0,
      env: 'AIOT_AFTER',
      helpValue: 'N',
    }),
    context: shared.context,
  };
  static override result = auditExportedSchema;

  async run() {
    const input = await this.input(AuditExport);
    const { out, after } = input.flags;
    return this.ask(
      input,
      (client) => exportAudit(client, out, after),
      auditExportedText,
      ({ file, entries }) => (entries === 0 ? [] : [`aiot audit verify ${shellWord(file)}`]),
    );
  }
}
