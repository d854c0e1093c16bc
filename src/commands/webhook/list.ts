import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { webhooksTable } from '../../lib/cli/render/platform.js';
import { next } from '../../lib/cli/render/text.js';
import { withClient } from '../../lib/registry/context.js';
import { webhooksSchema } from '../../lib/registry/webhooks/api.js';

export default class WebhookList extends AiotCommand {
  static override summary = 'List the webhooks: where events are sent, and whether they arrive.';
  static override hiddenAliases = ['webhook'];
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --json',
  ];
  static override flags = { context: shared.context };
  static override result = webhooksSchema.shape.webhooks;

  async run() {
    const input = await this.input(WebhookList);
    const at = again(input, 'context');
    const webhooks = await withClient(input.flags.context, (client) => client.webhooks.list());
    this.print(webhooksTable(webhooks));
    const failing = webhooks.find(({ error }) => error !== null);
    this.print(next(failing ? `aiot webhook show ${failing.id}${at}` : `aiot webhook add URL${at}`));
    return webhooks;
  }
}
