import { webhooksSchema } from '../../lib/api/contract/webhooks.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { webhooksTable } from '../../lib/cli/render/platform.js';

export default class WebhookList extends PlatformCommand {
  static override summary = 'List webhooks with their targets and delivery status.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --json',
  ];
  static override flags = { context: shared.context };
  static override result = webhooksSchema.shape.webhooks;

  async run() {
    return this.ask(
      await this.input(WebhookList),
      ({ webhooks }) => webhooks.list(),
      webhooksTable,
      (webhooks) => {
        const failing = webhooks.find(({ error }) => error !== null);
        return [failing ? `aiot webhook show ${failing.id}` : 'aiot webhook add URL'];
      },
    );
  }
}
