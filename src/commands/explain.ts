import { Args } from '@oclif/core';
import { z } from 'zod';
import { AiotCommand, bold, facts } from '../lib/cli/index.js';
import { explainCode } from '../lib/core/index.js';

export default class Explain extends AiotCommand {
  static override summary = 'Say what an error code means and what to do.';
  static override examples = ['<%= config.bin %> <%= command.id %> AIOT_PROJECT_NOT_FOUND'];
  static override args = {
    code: Args.string({ required: true, description: 'Code, as an error shows it.' }),
  };
  static override result = z.object({
    code: z.string(),
    about: z.string(),
    next: z.string(),
    exit: z.int(),
    family: z.enum(['user', 'outside', 'bug']),
  });

  async run() {
    const { args } = await this.input(Explain);
    const entry = explainCode(args.code);
    this.print(
      `${bold(entry.code)}\n${entry.about}\n\n${facts([
        ['Try', entry.next],
        ['Exit code', entry.exit],
      ])}`,
    );
    return entry;
  }
}
