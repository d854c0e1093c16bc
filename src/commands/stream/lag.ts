import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { brokerFlags, brokerOptions } from '../../lib/cli/flags/brokers.js';
import { lagText } from '../../lib/cli/render/streams.js';
import { bold } from '../../lib/cli/render/text.js';
import { plural } from '../../lib/core/figures.js';
import { lagSchema, readLag } from '../../lib/stream/broker/inspect.js';

export default class StreamLag extends AiotCommand {
  static override summary = 'Show the lag of consumer groups and durable consumers.';
  static override description = 'With --max, exits with 6 if more than that many messages are waiting.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> kafka://127.0.0.1',
    '<%= config.bin %> <%= command.id %> kafka://127.0.0.1 --group iot --max 1000',
    "<%= config.bin %> <%= command.id %> 'nats://127.0.0.1?stream=RPI'",
  ];
  static override args = { url: Args.string({ required: true, description: 'Broker address.' }) };
  static override flags = {
    group: Flags.string({ summary: 'Only this group or consumer.', env: 'AIOT_GROUP', helpValue: 'NAME' }),
    max: Flags.integer({
      summary: 'Maximum number of waiting messages.',
      env: 'AIOT_MAX',
      helpValue: 'N',
      min: 0,
    }),
    ...brokerFlags,
  };
  static override result = lagSchema;

  async run() {
    const { args, flags } = await this.input(StreamLag);
    const options = { ...(await brokerOptions(flags)), signal: this.signal };
    const lag = await readLag(
      args.url,
      flags.group === undefined ? options : { ...options, group: flags.group },
    );
    this.print(lagText(lag));
    if (lag.groups.length > 0) this.print(`${bold(plural(lag.lag, 'message'))} behind`);
    if (flags.max !== undefined && lag.lag > flags.max) {
      this.caution(`${plural(lag.lag, 'message')} behind; the limit is ${flags.max}`);
      this.exitsWith(6);
    }
    return lag;
  }
}
