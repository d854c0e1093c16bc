import { Args } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { brokerFlags, brokerOptions } from '../../lib/cli/flags/brokers.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { checkedText } from '../../lib/cli/render/streams.js';
import { next } from '../../lib/cli/render/text.js';
import { shellWord } from '../../lib/core/text.js';
import { checkEndpoint, checkedSchema } from '../../lib/stream/broker/check.js';

export default class StreamCheck extends AiotCommand {
  static override summary = 'Diagnose a broker connection.';
  static override description =
    "Tests each stage of the connection (name, port, TLS, authentication), and then lists the broker's features. Leaves nothing on the broker. Exits with 6 if a stage fails.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> mqtts://broker.example:8883 --ca ca.pem',
    '<%= config.bin %> <%= command.id %> kafka://127.0.0.1:9092',
    '<%= config.bin %> <%= command.id %> nats://127.0.0.1 --creds user.creds',
  ];
  static override args = { url: Args.string({ required: true, description: 'Broker address.' }) };
  static override flags = {
    timeout: { ...shared.timeout, summary: 'Time limit for each stage, such as 5s [default: 10s].' },
    ...brokerFlags,
  };
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
    if (checked.ok) this.suggest(next(`aiot stream list ${shellWord(checked.endpoint)}`));
    else this.exitsWith(6);
    return checked;
  }
}
