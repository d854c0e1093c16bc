import { Args } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { brokerFlags, brokerOptions } from '../../lib/cli/flags/brokers.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { checkedText } from '../../lib/cli/render/streams.js';
import { next } from '../../lib/cli/render/text.js';
import { shellWord } from '../../lib/core/text.js';
import { checkEndpoint, checkedSchema } from '../../lib/stream/broker/check.js';

export default class StreamCheck extends AiotCommand {
  static override summary = 'Try a broker: why a connection fails, or what the broker can do.';
  static override description =
    'Goes the way a connection goes: name, port, TLS, being let in, and then what is there. Nothing is left behind. Exit code 6 when a step fails.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> mqtts://broker.example:8883 --ca ca.pem',
    '<%= config.bin %> <%= command.id %> kafka://127.0.0.1:9092',
    '<%= config.bin %> <%= command.id %> nats://127.0.0.1 --creds user.creds',
  ];
  static override args = { url: Args.string({ required: true, description: 'The broker.' }) };
  static override flags = { timeout: shared.timeout, ...brokerFlags };
  static override result = checkedSchema;

  async run() {
    const { args, flags } = await this.input(StreamCheck);
    const options = { ...(await brokerOptions(flags)), signal: this.signal };
    this.progress().update({ text: 'trying' });
    const { timeout } = flags;
    const checked = await checkEndpoint(
      args.url,
      timeout === undefined ? options : { ...options, connectTimeoutMs: timeout },
    );
    this.print(checkedText(checked));
    if (checked.ok) this.print(next(`aiot stream ls ${shellWord(checked.endpoint)}`));
    else this.exitsWith(6);
    return checked;
  }
}
