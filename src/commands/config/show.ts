import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { next, table, yellow } from '../../lib/cli/render/text.js';
import { explainedSchema, explainSettings, flagVariables } from '../../lib/cli/settings.js';

export default class ConfigShow extends AiotCommand {
  static override summary = 'Show each setting, its value and its source.';
  static override description =
    'Precedence: flag, environment, project file, context, default. Secrets are masked.';
  static override examples = [
    '<%= config.bin %> config show',
    '<%= config.bin %> config show --project motor-watch --json',
  ];
  static override flags = { project: shared.project, context: shared.context };
  static override result = explainedSchema;

  async run() {
    const { flags, given } = await this.input(ConfigShow);
    const explained = await explainSettings({
      flags: {
        project: given('project') ? flags.project : undefined,
        context: given('context') ? flags.context : undefined,
      },
      variables: flagVariables(this.config.commands),
      env: process.env,
    });
    const rows = explained.settings.map(({ name, value, from, where }) => [name, value, from, where]);
    this.print(table(['Setting', 'Value', 'From', 'Where'], rows));
    for (const name of explained.unknown) this.print(yellow(`${name} is not a variable that aiot reads.`));
    this.suggest(next('aiot doctor', 'aiot context list'));
    return explained;
  }
}
