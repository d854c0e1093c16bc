import { Args } from '@oclif/core';
import { webhookSchema } from '../../lib/api/contract/webhooks.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { webhookText } from '../../lib/cli/render/platform.js';

export default class WebhookShow extends PlatformCommand {
  static override summary = "Show one webhook's progress and its last response.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> wh_01k2',
    '<%= config.bin %> <%= command.id %> wh_01k2 --json',
  ];
  static override args = { id: Args.string({ required: true, description: 'Webhook ID.' }) };
  static override flags = { context: shared.context };
  static override result = webhookSchema;

  async run() {
    const input = await this.input(WebhookShow);
    return this.ask(
      input,
      ({ webhooks }) => webhooks.get(input.args.id),
      (webhook) => webhookText(webhook),
      ({ id, enabled }) => [`aiot webhook ${enabled ? 'test' : 'enable'} ${id}`],
    );
  }
}
