import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { eventTypes } from '../../lib/cli/flags/platform.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { webhookText } from '../../lib/cli/render/platform.js';
import { next } from '../../lib/cli/render/text.js';
import { withClient } from '../../lib/registry/context.js';
import { webhookSecretSchema } from '../../lib/registry/webhooks/api.js';

export default class WebhookAdd extends AiotCommand {
  static override summary = 'Have events sent to a URL, one signed POST each.';
  static override description =
    'The events to come, in order and at least once; what fails is tried again for five days. Signed as Standard Webhooks says: the secret to check that with is shown this once.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> https://example.com/hooks/aiot',
    "<%= config.bin %> <%= command.id %> https://example.com/hooks/aiot --type 'rollout.*,device.connect'",
    '<%= config.bin %> <%= command.id %> http://127.0.0.1:8080/ --allow-private --json',
  ];
  static override args = { url: Args.string({ required: true, description: 'Where to send them.' }) };
  static override flags = {
    type: eventTypes({
      summary: 'These alone: device.connect, device.* and so on, comma-separated [default: *].',
      env: 'AIOT_TYPE',
      helpValue: 'TYPE,…',
    }),
    'allow-private': Flags.boolean({
      summary: 'Let the target be this machine or in a private network, without TLS too.',
      env: 'AIOT_ALLOW_PRIVATE',
    }),
    context: shared.context,
  };
  static override result = webhookSecretSchema;

  async run() {
    const input = await this.input(WebhookAdd);
    const { args, flags } = input;
    const { type: types } = flags;
    const added = await withClient(flags.context, (client) =>
      client.webhooks.add({
        ...{ url: args.url, allowPrivate: flags['allow-private'] },
        ...(types === undefined ? {} : { types }),
      }),
    );
    this.print(webhookText(added.webhook, added.secret));
    this.print(next(`aiot webhook test ${added.webhook.id}${again(input, 'context')}`));
    return added;
  }
}
