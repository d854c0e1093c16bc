import { AiotCommand, again, next, shared, webhooksTable } from '../../lib/cli/index.js';
import { webhooksSchema, withClient } from '../../lib/registry/index.js';

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
