import * as z from 'zod';
import { AiotCommand } from '../../lib/cli/command.js';
import { duration } from '../../lib/cli/flags/shared.js';
import { serveMcp } from '../../lib/cli/mcp.js';

export default class Mcp extends AiotCommand {
  static override summary =
    'Serve the commands to an agent, by the Model Context Protocol on stdin and stdout.';
  static override description =
    'A client starts it. Commands that only read are tools as they are; those that change something want an approval of yours for each call, which their answer asks for (aiot mcp approve). Commands run in the folder that this was started in, with the contexts of this user. It ends when stdin does. docs/mcp.md has the lines for clients.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --timeout 2m',
  ];
  static override flags = {
    timeout: duration({
      summary: 'How long one call may take.',
      env: 'AIOT_TIMEOUT',
      default: 600_000,
    }),
  };
  static override result = z
    .looseObject({ jsonrpc: z.literal('2.0') })
    .describe('A message of the protocol, a line each.');

  async run(): Promise<void> {
    const { flags } = await this.input(Mcp);
    const { calls } = await serveMcp({
      ...{ config: this.config, input: process.stdin, output: process.stdout, folder: process.cwd() },
      ...{ timeoutMs: flags.timeout, signal: this.signal, log: (text) => this.note(text) },
    });
    this.note(`${calls} calls`);
  }
}
