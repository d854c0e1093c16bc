import { Args } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { webhookText } from '../../lib/cli/render/platform.js';
import { next } from '../../lib/cli/render/text.js';
import { withClient } from '../../lib/registry/context.js';
import { webhookSchema } from '../../lib/registry/webhooks/api.js';

export default class WebhookEnable extends AiotCommand {
  static override summary = 'Send to a webhook again that was given up, at once and from where it stood.';
  static override description =
    'What it missed is sent first, as far as the platform keeps it. One that only waits for its next attempt is tried at once.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> wh_01k2',
    '<%= config.bin %> <%= command.id %> wh_01k2 --json',
  ];
  static override args = { id: Args.string({ required: true, description: 'Id of the webhook.' }) };
  static override flags = { context: shared.context };
  static override result = webhookSchema;

  async run() {
    const input = await this.input(WebhookEnable);
    const { args, flags } = input;
    const webhook = await withClient(flags.context, (client) =>
      client.webhooks.change(args.id, { enabled: true }),
    );
    this.print(webhookText(webhook));
    this.print(next(`aiot webhook show ${webhook.id}${again(input, 'context')}`));
    return webhook;
  }
}
