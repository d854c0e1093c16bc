import * as z from 'zod';
import { AiotCommand } from '../../lib/cli/command.js';
import { duration } from '../../lib/cli/flags/shared.js';
import { serveMcp } from '../../lib/cli/mcp.js';

export default class Mcp extends AiotCommand {
  static override summary = 'Serve the commands to an agent over MCP (stdio).';
  static override description =
    'An MCP client starts this command. It can call read-only commands without approval. Commands that change something require your approval for each call; the response explains how to approve it (aiot mcp approve). Commands run in the folder where this server was started, with your contexts. The server stops when stdin closes. For client settings, run aiot docs mcp.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --timeout 2m',
  ];
  static override flags = {
    timeout: duration({
      summary: 'Time limit for one call.',
      env: 'AIOT_TIMEOUT',
      default: 600_000,
    }),
  };
  static override result = z
    .looseObject({ jsonrpc: z.literal('2.0') })
    .describe('One protocol message per line.');

  async run(): Promise<void> {
    const { flags } = await this.input(Mcp);
    const { calls } = await serveMcp({
      ...{ config: this.config, input: process.stdin, output: process.stdout, folder: process.cwd() },
      ...{ timeoutMs: flags.timeout, signal: this.signal, log: (text) => this.note(text) },
    });
    this.note(`${calls} calls`);
  }
}
