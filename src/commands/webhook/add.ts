import { Args, Flags } from '@oclif/core';
import { webhookSecretSchema } from '../../lib/api/contract/webhooks.js';
import { eventTypes } from '../../lib/cli/flags/platform.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { webhookText } from '../../lib/cli/render/platform.js';

export default class WebhookAdd extends PlatformCommand {
  static override summary = 'Send events to a URL as signed POST requests.';
  static override description =
    'Sends new events in order and at least once; failed requests are retried for five days. Requests are signed according to Standard Webhooks; the secret for verifying them is shown only once.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> https://example.com/hooks/aiot',
    "<%= config.bin %> <%= command.id %> https://example.com/hooks/aiot --type 'rollout.*,device.connect'",
    '<%= config.bin %> <%= command.id %> http://127.0.0.1:8080/ --allow-private --json',
  ];
  static override args = { url: Args.string({ required: true, description: 'Destination URL.' }) };
  static override flags = {
    type: eventTypes({
      summary: 'Only events of these comma-separated types, such as device.connect or device.* [default: *].',
      env: 'AIOT_TYPE',
      helpValue: 'TYPE,…',
    }),
    'allow-private': Flags.boolean({
      summary: 'Allow a target on this machine or on a private network, even without TLS.',
      env: 'AIOT_ALLOW_PRIVATE',
    }),
    context: shared.context,
  };
  static override result = webhookSecretSchema;

  async run() {
    const input = await this.input(WebhookAdd);
    const { type: types, 'allow-private': allowPrivate } = input.flags;
    const wanted = { url: input.args.url, allowPrivate, ...(types === undefined ? {} : { types }) };
    return this.ask(
      input,
      ({ webhooks }) => webhooks.add(wanted),
      ({ webhook, secret }) => webhookText(webhook, secret),
      ({ webhook }) => [`aiot webhook test ${webhook.id}`],
    );
  }
}
