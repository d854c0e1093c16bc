import { Args } from '@oclif/core';
import { schemaCheckedSchema } from '../../../lib/api/schemas.js';
import { readSchema, schemaFileFlags } from '../../../lib/cli/flags/schemas.js';
import { shared } from '../../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../../lib/cli/platform-command.js';
import { compatibilityText } from '../../../lib/cli/render/schemas.js';
import { shellWord } from '../../../lib/core/text.js';

export default class StreamSchemaCheck extends PlatformCommand {
  static override summary = 'Check if a new version would be compatible.';
  static override description =
    "Compares the schema with the versions that the subject's compatibility level names. Nothing is registered. Exits with 6 if the schema is incompatible.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> motors-value motors.avsc',
    '<%= config.bin %> <%= command.id %> motors-value motors.avsc --json',
  ];
  static override args = {
    subject: Args.string({ required: true, description: 'Subject.' }),
    file: Args.string({ required: true, description: 'Schema: .avsc, .proto or .json.' }),
  };
  static override flags = { ...schemaFileFlags, context: shared.context };
  static override result = schemaCheckedSchema;

  async run() {
    const input = await this.input(StreamSchemaCheck);
    const { subject, file } = input.args;
    const schema = await readSchema(file, input.flags);
    const checked = await this.ask(
      input,
      ({ schemas }) => schemas.check(subject, schema),
      compatibilityText,
      ({ compatible }) => [
        compatible
          ? `aiot stream schema register ${shellWord(subject)} ${shellWord(file)}`
          : `aiot stream schema level --subject ${shellWord(subject)}`,
      ],
    );
    if (!checked.compatible) this.exitsWith(6);
    return checked;
  }
}
