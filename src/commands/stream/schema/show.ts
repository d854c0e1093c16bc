import { Args, Flags } from '@oclif/core';
import { schemaShownSchema } from '../../../lib/api/schemas.js';
import { shared } from '../../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../../lib/cli/platform-command.js';
import { schemaVersionText } from '../../../lib/cli/render/schemas.js';

export default class StreamSchemaShow extends PlatformCommand {
  static override summary = 'Show a schema with its versions and level.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> motors-value',
    '<%= config.bin %> <%= command.id %> motors-value --number 2 --json',
  ];
  static override args = { subject: Args.string({ required: true, description: 'Subject.' }) };
  static override flags = {
    number: Flags.integer({
      min: 1,
      summary: 'Version [default: the latest].',
      env: 'AIOT_NUMBER',
      helpValue: 'VERSION',
    }),
    context: shared.context,
  };
  static override result = schemaShownSchema;

  async run() {
    const input = await this.input(StreamSchemaShow);
    return this.ask(
      input,
      ({ schemas }) => schemas.show(input.args.subject, input.flags.number ?? 'latest'),
      schemaVersionText,
      () => [],
    );
  }
}
