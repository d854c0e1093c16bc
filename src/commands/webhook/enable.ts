import { Args } from '@oclif/core';
import { webhookSchema } from '../../lib/api/contract/webhooks.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { webhookText } from '../../lib/cli/render/platform.js';

export default class WebhookEnable extends PlatformCommand {
  static override summary = 'Resume a failed webhook where it stopped.';
  static override description =
    'Missed events are sent first, if the platform still has them. A webhook that is waiting to retry sends immediately.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> wh_01k2',
    '<%= config.bin %> <%= command.id %> wh_01k2 --json',
  ];
  static override args = { id: Args.string({ required: true, description: 'Webhook ID.' }) };
  static override flags = { context: shared.context };
  static override result = webhookSchema;

  async run() {
    const input = await this.input(WebhookEnable);
    return this.ask(
      input,
      ({ webhooks }) => webhooks.change(input.args.id, { enabled: true }),
      (webhook) => webhookText(webhook),
      ({ id }) => [`aiot webhook show ${id}`],
    );
  }
}
