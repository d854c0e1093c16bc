import { Args } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { webhookText } from '../../lib/cli/render/platform.js';
import { next } from '../../lib/cli/render/text.js';
import { withClient } from '../../lib/registry/context.js';
import { webhookSecretSchema } from '../../lib/registry/webhooks/api.js';

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
