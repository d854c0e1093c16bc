import { Args } from '@oclif/core';
import { removedWebhookSchema } from '../../lib/api/contract/webhooks.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { plural } from '../../lib/core/figures.js';

export default class WebhookRemove extends PlatformCommand {
  static override summary = 'Remove a webhook.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> wh_01k2',
    '<%= config.bin %> <%= command.id %> wh_01k2 --json',
  ];
  static override args = { id: Args.string({ required: true, description: 'Webhook ID.' }) };
  static override flags = { yes: shared.yes, context: shared.context };
  static override result = removedWebhookSchema;

  async run() {
    const input = await this.input(WebhookRemove);
    return this.ask(
      input,
      async ({ webhooks }) => {
        const { id, url, behind } = await webhooks.get(input.args.id);
        const unsent = behind > 0 ? `, with ${plural(behind, 'undelivered event')}` : '';
        await this.agreeToLose(
          `Permanently remove ${id} to ${url} and its secret${unsent}?`,
          input.flags.yes,
        );
        return webhooks.remove(id);
      },
      ({ id, url }) => `Removed ${id}; no more events are sent to ${url}.`,
      () => ['aiot webhook list'],
    );
  }
}
