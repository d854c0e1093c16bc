import { Args } from '@oclif/core';
import { webhookSecretSchema } from '../../lib/api/contract/webhooks.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { webhookText } from '../../lib/cli/render/platform.js';

export default class WebhookRotate extends PlatformCommand {
  static override summary = "Replace a webhook's signing secret.";
  static override description =
    'Prints the new secret, only once. For one day, requests are signed with both the old and the new secret, so that you can update the receiver.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> wh_01k2',
    '<%= config.bin %> <%= command.id %> wh_01k2 --json',
  ];
  static override args = { id: Args.string({ required: true, description: 'Webhook ID.' }) };
  static override flags = { context: shared.context };
  static override result = webhookSecretSchema;

  async run() {
    const input = await this.input(WebhookRotate);
    return this.ask(
      input,
      ({ webhooks }) => webhooks.rotate(input.args.id),
      ({ webhook, secret }) => webhookText(webhook, secret),
      ({ webhook }) => [`aiot webhook test ${webhook.id}`],
    );
  }
}
