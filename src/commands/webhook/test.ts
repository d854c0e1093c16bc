import { Args } from '@oclif/core';
import { webhookTestSchema } from '../../lib/api/contract/webhooks.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { webhookTestText } from '../../lib/cli/render/platform.js';

export default class WebhookTest extends PlatformCommand {
  static override summary = 'Send a test event to a webhook now.';
  static override description = "Shows the target's response. Exits with 6 if the event did not arrive.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> wh_01k2',
    '<%= config.bin %> <%= command.id %> wh_01k2 --json',
  ];
  static override args = { id: Args.string({ required: true, description: 'Webhook ID.' }) };
  static override flags = { context: shared.context };
  static override result = webhookTestSchema;

  async run() {
    const input = await this.input(WebhookTest);
    const tested = await this.ask(
      input,
      ({ webhooks }) => webhooks.test(input.args.id),
      webhookTestText,
      ({ id }) => [`aiot webhook show ${id}`],
    );
    if (!tested.delivered) this.exitsWith(6);
    return tested;
  }
}
