import { Args } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { webhookTestText } from '../../lib/cli/render/platform.js';
import { next } from '../../lib/cli/render/text.js';
import { withClient } from '../../lib/registry/context.js';
import { webhookTestSchema } from '../../lib/registry/webhooks/api.js';

export default class WebhookTest extends AiotCommand {
  static override summary = 'Send a webhook a test now, and say what its target answered.';
  static override description = 'Exits with 6 when it did not arrive.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> wh_01k2',
    '<%= config.bin %> <%= command.id %> wh_01k2 --json',
  ];
  static override args = { id: Args.string({ required: true, description: 'Id of the webhook.' }) };
  static override flags = { context: shared.context };
  static override result = webhookTestSchema;

  async run() {
    const input = await this.input(WebhookTest);
    const { args, flags } = input;
    const tested = await withClient(flags.context, (client) => client.webhooks.test(args.id));
    if (!tested.delivered) this.exitsWith(6);
    this.print(webhookTestText(tested));
    this.print(next(`aiot webhook show ${tested.id}${again(input, 'context')}`));
    return tested;
  }
}
