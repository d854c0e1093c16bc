import { Args } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { next } from '../../lib/cli/render/text.js';
import { plural } from '../../lib/core/figures.js';
import { withClient } from '../../lib/registry/context.js';
import { removedWebhookSchema } from '../../lib/registry/webhooks/api.js';

export default class WebhookRemove extends AiotCommand {
  static override summary = 'Remove a webhook: nothing is sent to it any more.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> wh_01k2',
    '<%= config.bin %> <%= command.id %> wh_01k2 --json',
  ];
  static override args = { id: Args.string({ required: true, description: 'Id of the webhook.' }) };
  static override flags = { yes: shared.yes, context: shared.context };
  static override result = removedWebhookSchema;

  async run() {
    const input = await this.input(WebhookRemove);
    const { args, flags } = input;
    const removed = await withClient(flags.context, async (client) => {
      const { id, url, behind } = await client.webhooks.get(args.id);
      const unsent = behind > 0 ? `, with ${plural(behind, 'event')} that it was not told of yet` : '';
      await this.agreeToLose(`Remove ${id} to ${url} for good, and its secret${unsent}?`, flags.yes);
      return client.webhooks.remove(id);
    });
    this.print(`${removed.id} is removed: nothing goes to ${removed.url} any more.`);
    this.print(next(`aiot webhook list${again(input, 'context')}`));
    return removed;
  }
}
