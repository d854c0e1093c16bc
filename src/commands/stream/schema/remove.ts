import { Args, Flags } from '@oclif/core';
import { schemaRemovedSchema } from '../../../lib/api/schemas.js';
import { shared } from '../../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../../lib/cli/platform-command.js';
import { plural } from '../../../lib/core/figures.js';

export default class StreamSchemaRemove extends PlatformCommand {
  static override summary = 'Remove a subject, or one of its versions.';
  static override description =
    'Removed schemas can still be read by their id, so messages that use them stay readable. --permanent removes them for good, and only after they were removed without it. A version that another schema refers to cannot be removed.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> motors-value --number 1',
    '<%= config.bin %> <%= command.id %> motors-value --yes --json',
    '<%= config.bin %> <%= command.id %> motors-value --permanent --yes',
  ];
  static override args = { subject: Args.string({ required: true, description: 'Subject.' }) };
  static override flags = {
    number: Flags.integer({
      min: 1,
      summary: 'Version [default: all].',
      env: 'AIOT_NUMBER',
      helpValue: 'VERSION',
    }),
    permanent: Flags.boolean({
      summary: 'Remove a removed subject or version for good.',
      env: 'AIOT_PERMANENT',
    }),
    yes: shared.yes,
    context: shared.context,
  };
  static override result = schemaRemovedSchema;

  async run() {
    const input = await this.input(StreamSchemaRemove);
    const { subject } = input.args;
    const { number, permanent = false, yes } = input.flags;
    const named = number === undefined ? `the subject ${subject}` : `version ${number} of ${subject}`;
    return this.ask(
      input,
      async ({ schemas }) => {
        await this.agreeToLose(`${permanent ? 'Permanently remove' : 'Remove'} ${named}?`, yes);
        return schemas.remove(subject, number, permanent);
      },
      ({ versions }) =>
        `Removed ${named}${permanent ? ' permanently' : ''}: ${plural(versions.length, 'version')}.`,
      () => ['aiot stream schema list'],
    );
  }
}
