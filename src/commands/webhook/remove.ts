import { Args } from '@oclif/core';
import { AiotCommand, again, next, shared } from '../../lib/cli/index.js';
import { removedWebhookSchema, withClient } from '../../lib/registry/index.js';

export default class WebhookRemove extends AiotCommand {
  static override summary = 'Remove a webhook: nothing is sent to it any more.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> wh_01k2',
    '<%= config.bin %> <%= command.id %> wh_01k2 --json',
  ];
  static override args = { id: Args.string({ required: true, description: 'Id of the webhook.' }) };
  static override flags = { context: shared.context };
  static override result = removedWebhookSchema;

  async run() {
    const input = await this.input(WebhookRemove);
    const { args, flags } = input;
    const removed = await withClient(flags.context, (client) => client.webhooks.remove(args.id));
    this.print(`${removed.id} is removed: nothing goes to ${removed.url} any more.`);
    this.print(next(`aiot webhook list${again(input, 'context')}`));
    return removed;
  }
}
