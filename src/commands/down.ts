import { Flags } from '@oclif/core';
import { AiotCommand } from '../lib/cli/command.js';
import { shared } from '../lib/cli/flags/shared.js';
import { again } from '../lib/cli/invocation.js';
import { afterDown, downText, secretText } from '../lib/cli/render/platform.js';
import { next } from '../lib/cli/render/text.js';
import { down, downResultSchema } from '../lib/platform/up/detached.js';

export default class Down extends AiotCommand {
  static override summary = 'Stop the platform on this machine.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --data ./platform --json',
  ];
  static override flags = {
    data: Flags.string({
      summary: "The platform's data folder [default: a folder in your user data directory].",
      env: 'AIOT_DATA',
      helpValue: 'DIR',
    }),
    timeout: { ...shared.timeout, summary: 'Time limit for stopping, such as 30s [default: 20s].' },
  };
  static override result = downResultSchema;

  async run() {
    const input = await this.input(Down);
    const { flags } = input;
    const at = again(input, 'data');
    const result = await down({ data: flags.data, timeoutMs: flags.timeout ?? 20_000, signal: this.signal });
    this.print(downText(result));
    this.suggest(next(...afterDown(result, at)));
    if (result.restart) this.print(secretText(result.restart));
    return result;
  }
}
