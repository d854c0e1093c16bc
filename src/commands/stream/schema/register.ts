import { Args } from '@oclif/core';
import { schemaRegisteredSchema } from '../../../lib/api/schemas.js';
import { readSchema, schemaFileFlags } from '../../../lib/cli/flags/schemas.js';
import { shared } from '../../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../../lib/cli/platform-command.js';
import { registeredText } from '../../../lib/cli/render/schemas.js';
import { shellWord } from '../../../lib/core/text.js';

export default class StreamSchemaRegister extends PlatformCommand {
  static override summary = 'Register a new version of a schema.';
  static override description =
    "The platform rejects a version that violates the subject's compatibility level. A schema that the subject already has is not registered again. By convention, the subject of a topic's messages is TOPIC-value.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> motors-value motors.avsc',
    '<%= config.bin %> <%= command.id %> motors-value motors.proto --reference units.proto=units:1 --json',
  ];
  static override args = {
    subject: Args.string({ required: true, description: 'Subject.' }),
    file: Args.string({ required: true, description: 'Schema: .avsc, .proto or .json.' }),
  };
  static override flags = { ...schemaFileFlags, context: shared.context };
  static override result = schemaRegisteredSchema;

  async run() {
    const input = await this.input(StreamSchemaRegister);
    const { subject, file } = input.args;
    const schema = await readSchema(file, input.flags);
    return this.ask(
      input,
      ({ schemas }) => schemas.register(subject, schema),
      registeredText,
      () => [`aiot stream schema show ${shellWord(subject)}`],
    );
  }
}
