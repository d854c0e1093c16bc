import { Args, Flags } from '@oclif/core';
import { schemaLevelSchema } from '../../../lib/api/schemas.js';
import { shared } from '../../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../../lib/cli/platform-command.js';
import { levelText } from '../../../lib/cli/render/schemas.js';
import { type CompatibilityLevel, compatibilityLevels } from '../../../lib/formats/schemas/schema.js';

/** Removes the subject's own level. */
const inherit = 'inherit';

export default class StreamSchemaLevel extends PlatformCommand {
  static override summary = 'Show or set how schemas may change.';
  static override description =
    'BACKWARD: a new version can read the data of the previous one. FORWARD: the previous version can read the data of the new one. FULL: both. A level that ends in _TRANSITIVE compares with all versions. NONE: any valid schema is accepted. Without --subject, the level is that of all subjects without a level of their own.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> FULL --subject motors-value',
    '<%= config.bin %> <%= command.id %> inherit --subject motors-value',
    '<%= config.bin %> <%= command.id %> --json',
  ];
  static override args = {
    level: Args.string({
      description: `New level; ${inherit} = the level of all subjects.`,
      options: [...compatibilityLevels, inherit],
    }),
  };
  static override flags = {
    subject: Flags.string({
      summary: 'Subject [default: all subjects].',
      env: 'AIOT_SUBJECT',
      helpValue: 'SUBJECT',
    }),
    context: shared.context,
  };
  static override result = schemaLevelSchema;

  async run() {
    const input = await this.input(StreamSchemaLevel);
    const { level } = input.args;
    const subject = input.flags.subject ?? null;
    const wanted = level === inherit ? null : (level as CompatibilityLevel);
    return this.ask(
      input,
      ({ schemas }) => (level === undefined ? schemas.level(subject) : schemas.setLevel(subject, wanted)),
      levelText,
      () => [],
    );
  }
}
