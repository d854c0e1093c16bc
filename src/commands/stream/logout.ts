import { Args } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { loginSchema, logout } from '../../lib/stream/credentials.js';

export default class StreamLogout extends AiotCommand {
  static override summary = 'Remove stored credentials for a broker.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> kafkas://broker.example:9093',
    '<%= config.bin %> <%= command.id %> mqtts://broker.example:8883 --json',
  ];
  static override args = { url: Args.string({ required: true, description: 'Broker address.' }) };
  static override result = loginSchema;

  async run() {
    const { args } = await this.input(StreamLogout);
    const forgotten = await logout(args.url);
    this.print(
      `Removed the credentials for ${forgotten.endpoints.map(({ endpoint }) => endpoint).join(', ')}.`,
    );
    return forgotten;
  }
}
