import { Args } from '@oclif/core';
import * as z from 'zod';
import { AiotCommand } from '../lib/cli/command.js';
import { bold } from '../lib/cli/render/style.js';
import { facts, next, table } from '../lib/cli/render/text.js';
import { explainCode, listCodes } from '../lib/core/errors.js';

const shownSchema = z.object({
  code: z.string(),
  about: z.string(),
  next: z.string(),
  exit: z.int(),
  family: z.enum(['user', 'outside', 'bug']),
});
const listSchema = z.array(shownSchema.pick({ code: true, about: true }));

export default class Explain extends AiotCommand {
  static override summary = 'Explain an error code, or list all of them.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> AIOT_PROJECT_NOT_FOUND',
    '<%= config.bin %> <%= command.id %>',
  ];
  static override args = {
    code: Args.string({ description: 'Code, as an error shows it [default: list all codes].' }),
  };
  static override result = z.union([shownSchema, listSchema]);

  async run() {
    const { args } = await this.input(Explain);
    if (args.code === undefined) {
      const codes = listCodes();
      this.print(
        table(
          ['Code', 'Meaning'],
          codes.map(({ code, about }) => [code, about]),
        ),
      );
      this.print(next('aiot explain CODE'));
      return codes;
    }
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
