import { AiotCommand } from '../../lib/cli/command.js';
import { next, table } from '../../lib/cli/render/text.js';
import { chosenContext, listContexts, shownContextSchema } from '../../lib/core/contexts.js';

export default class ContextList extends AiotCommand {
  static override summary = 'List the platforms known to this machine.';
  static override examples = ['<%= config.bin %> context list', '<%= config.bin %> context list --json'];
  static override result = shownContextSchema.array();

  async run() {
    await this.input(ContextList);
    const contexts = await listContexts();
    const rows = contexts.map(({ name, kind, url, mqtt, token, current: used }) => [
      used ? `${name} *` : name,
      kind,
      url,
      mqtt,
      token ? 'yes' : 'no',
    ]);
    this.print(table(['Name', 'Kind', 'URL', 'MQTT', 'Token'], rows, 'No contexts yet.'));
    const chosen = await chosenContext();
    if (chosen?.from === 'environment')
      this.print(`AIOT_URL is set: commands use ${chosen.url}, whichever context is current.`);
    this.suggest(next(...(contexts.length === 0 ? ['aiot up'] : ['aiot context use NAME', 'aiot doctor'])));
    return contexts;
  }
}
