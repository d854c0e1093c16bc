import { Args, Command, Flags } from '@oclif/core';

export default class Hello extends Command {
  static summary = 'Say hello.';
  static examples = ['<%= config.bin %> <%= command.id %> world'];
  static args = { name: Args.string({ required: true, description: 'Whom.' }) };
  static flags = { loud: Flags.boolean({ summary: 'In capitals.', env: 'BARE_LOUD' }) };

  async run() {
    const { args } = await this.parse(Hello);
    this.log(`Hello, ${args.name}`);
  }
}
