import { Args } from '@oclif/core';
import * as z from 'zod';
import { approve, askedFor, lineOf } from '../../lib/cli/approvals.js';
import { AiotCommand } from '../../lib/cli/command.js';
import { confirm } from '../../lib/cli/questions.js';
import { bold, forTerminal, oneLine } from '../../lib/cli/render/text.js';
import { AiotError } from '../../lib/core/errors.js';

export default class McpApprove extends AiotCommand {
  static override summary = "Approve an agent's call and print a token for it.";
  static override description =
    'Shows exactly what would run and where, and asks for confirmation on the terminal; no flag skips this prompt. The token can be used once, within five minutes, for exactly these arguments.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> 3f9a1c07',
    '<%= config.bin %> <%= command.id %> 3f9a1c07 --json',
  ];
  static override args = {
    id: Args.string({ required: true, description: "Call ID from the tool's response." }),
  };
  static override result = z.object({ token: z.string(), until: z.iso.datetime() });

  async run() {
    const { args } = await this.input(McpApprove);
    const asked = await askedFor(args.id);
    if (!process.stdin.isTTY)
      throw new AiotError('AIOT_USAGE', 'approval requires a terminal', {
        next: `In a terminal, run \`aiot mcp approve ${asked.id}\`.`,
      });
    const what = `An agent wants to run this command in ${oneLine(asked.folder)}:\n\n  ${bold(lineOf(asked))}\n\n`;
    process.stderr.write(forTerminal(what));
    if (!(await confirm('Allow it once?', this.signal)))
      throw new AiotError('AIOT_INTERRUPTED', 'not approved');
    const { token, until } = await approve(asked);
    this.print(token);
    return { token, until: new Date(until).toISOString() };
  }
}
