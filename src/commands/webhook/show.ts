import { Args } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { webhookText } from '../../lib/cli/render/platform.js';
import { next } from '../../lib/cli/render/text.js';
import { withClient } from '../../lib/registry/context.js';
import { webhookSchema } from '../../lib/registry/webhooks/api.js';

export default class WebhookShow extends AiotCommand {
  static override summary = 'Show one webhook: how far it is, and what its target said last.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> wh_01k2',
    '<%= config.bin %> <%= command.id %> wh_01k2 --json',
  ];
  static override args = { id: Args.string({ required: true, description: 'Id of the webhook.' }) };
  static override flags = { context: shared.context };
  static override result = webhookSchema;

  async run() {
    const input = await this.input(WebhookShow);
    const { args, flags } = input;
    const at = again(input, 'context');
    const webhook = await withClient(flags.context, (client) => client.webhooks.get(args.id));
    this.print(webhookText(webhook));
    this.print(
      next(
        webhook.enabled ? `aiot webhook test ${webhook.id}${at}` : `aiot webhook enable ${webhook.id}${at}`,
      ),
    );
    return webhook;
  }
}
