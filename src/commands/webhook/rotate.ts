import { Args } from '@oclif/core';
import { AiotCommand, again, next, shared, webhookText } from '../../lib/cli/index.js';
import { webhookSecretSchema, withClient } from '../../lib/registry/index.js';

export default class WebhookRotate extends AiotCommand {
  static override summary = 'Give a webhook another secret; for a day both of them sign.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> wh_01k2',
    '<%= config.bin %> <%= command.id %> wh_01k2 --json',
  ];
  static override args = { id: Args.string({ required: true, description: 'Id of the webhook.' }) };
  static override flags = { context: shared.context };
  static override result = webhookSecretSchema;

  async run() {
    const input = await this.input(WebhookRotate);
    const { args, flags } = input;
    const rotated = await withClient(flags.context, (client) => client.webhooks.rotate(args.id));
    this.print(webhookText(rotated.webhook, rotated.secret));
    this.print(next(`aiot webhook test ${rotated.webhook.id}${again(input, 'context')}`));
    return rotated;
  }
}
