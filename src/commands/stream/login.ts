import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { brokerFlags, brokerOptions } from '../../lib/cli/flags/brokers.js';
import { loginsText } from '../../lib/cli/render/streams.js';
import { next } from '../../lib/cli/render/text.js';
import { shellWord } from '../../lib/core/text.js';
import { tryCredentials } from '../../lib/stream/broker/check.js';
import { listLogins, login, loginSchema } from '../../lib/stream/credentials.js';

const { context: _, ...credentialFlags } = brokerFlags;

export default class StreamLogin extends AiotCommand {
  static override summary = 'Store credentials for a broker, or list stored ones.';
  static override description =
    'The credentials are tested before they are stored. All commands then use them for every topic at this address. They are stored in the config folder, readable only by you, and are never printed. For an aiot platform, use aiot context add instead.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> kafkas://broker.example:9093 --username ana --password-file - --sasl scram-sha-512',
    '<%= config.bin %> <%= command.id %> nats://127.0.0.1 --creds user.creds',
    '<%= config.bin %> <%= command.id %>',
  ];
  static override args = {
    url: Args.string({ description: 'Broker address; omit it to list stored credentials.' }),
  };
  static override flags = {
    untried: Flags.boolean({ summary: 'Store the credentials without testing them.', env: 'AIOT_UNTRIED' }),
    ...credentialFlags,
  };
  static override result = loginSchema;

  async run() {
    const { args, flags } = await this.input(StreamLogin);
    if (args.url === undefined) {
      const kept = await listLogins();
      this.print(loginsText(kept));
      return kept;
    }
    const done = await login({
      url: args.url,
      credentials: await brokerOptions(flags),
      ...(flags.untried ? {} : { attempt: tryCredentials }),
    });
    this.print(loginsText(done));
    this.print(done.tried ? 'Accepted by the broker.' : 'Not tried at the broker.');
    const [first] = done.endpoints;
    if (first) this.suggest(next(`aiot stream check ${shellWord(first.endpoint)}`));
    return done;
  }
}
