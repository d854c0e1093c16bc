import { schemaSubjectsSchema } from '../../../lib/api/schemas.js';
import { shared } from '../../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../../lib/cli/platform-command.js';
import { schemaTable } from '../../../lib/cli/render/schemas.js';
import { shellWord } from '../../../lib/core/text.js';

export default class StreamSchemaList extends PlatformCommand {
  static override summary = 'List the subjects of the schema registry.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --json',
  ];
  static override flags = { context: shared.context };
  static override result = schemaSubjectsSchema;

  async run() {
    return this.ask(
      await this.input(StreamSchemaList),
      ({ schemas }) => schemas.list(),
      schemaTable,
      ([first]) => [
        first
          ? `aiot stream schema show ${shellWord(first.subject)}`
          : 'aiot stream schema register SUBJECT FILE',
      ],
    );
  }
}
