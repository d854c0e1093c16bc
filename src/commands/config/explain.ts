import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { yellow } from '../../lib/cli/render/style.js';
import { next, table } from '../../lib/cli/render/text.js';
import { explainedSchema, explainSettings, flagVariables } from '../../lib/cli/settings.js';

export default class ConfigExplain extends AiotCommand {
  static override summary = 'Show each setting, its value, and where it comes from.';
  static override description =
    'What wins: flag, then environment, then project file, then context, then default. Secrets are masked.';
  static override hiddenAliases = ['config'];
  static override examples = [
    '<%= config.bin %> config explain',
    '<%= config.bin %> config explain --project motor-watch --json',
  ];
  static override flags = { project: shared.project, context: shared.context };
  static override result = explainedSchema;

  async run() {
    const { flags, given } = await this.input(ConfigExplain);
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
    for (const name of explained.unknown) this.print(yellow(`${name} means nothing to aiot.`));
    this.print(next('aiot doctor', 'aiot context list'));
    return explained;
  }
}
