import { Args } from '@oclif/core';
import * as z from 'zod';
import { AiotCommand } from '../lib/cli/command.js';
import { bold, facts, next, table } from '../lib/cli/render/text.js';
import { explainCode, explainExit, listCodes } from '../lib/core/errors.js';

const shownSchema = z.object({
  code: z.string(),
  about: z.string(),
  next: z.string(),
  /** Next steps, keyed by the kind of object concerned (the error's `subject`). */
  subjects: z.record(z.string(), z.string()).optional(),
  exit: z.int(),
  family: z.enum(['user', 'outside', 'bug']),
});
const exitSchema = z.object({
  exit: z.int(),
  about: z.string(),
  next: z.string(),
  /** Codes of the errors that cause this exit code. */
  codes: z.array(z.string()),
});
const listSchema = z.array(shownSchema.pick({ code: true, about: true }));

export default class ErrorCommand extends AiotCommand {
  static override summary = 'Explain an error code or an exit code.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> AIOT_PROJECT_NOT_FOUND',
    '<%= config.bin %> <%= command.id %> 6',
    '<%= config.bin %> <%= command.id %>',
  ];
  static override args = {
    code: Args.string({
      description: 'Error code, or exit code such as 6 [default: list all error codes].',
    }),
  };
  static override result = z.union([shownSchema, exitSchema, listSchema]);

  async run() {
    const { args } = await this.input(ErrorCommand);
    if (args.code === undefined) {
      const codes = listCodes();
      this.print(
        table(
          ['Code', 'Meaning'],
          codes.map(({ code, about }) => [code, about]),
        ),
      );
      this.suggest(next('aiot error CODE'));
      return codes;
    }
    if (/^\d+$/.test(args.code)) {
      const meaning = explainExit(Number(args.code));
      const { exit, about, codes } = meaning;
      const errors = codes.length > 0 ? codes.join(', ') : 'none';
      this.print(
        `${bold(`Exit code ${exit}`)}\n${about}\n\n${facts([
          ['Try', meaning.next],
          ['Errors', errors],
        ])}`,
      );
      return meaning;
    }
    const entry = explainCode(args.code);
    this.print(
      `${bold(entry.code)}\n${entry.about}\n\n${facts([
        ['Try', entry.next],
        ...Object.entries(entry.subjects ?? {}).map(([subject, step]): [string, string] => [
          `For ${subject}`,
          step,
        ]),
        ['Exit code', entry.exit],
      ])}`,
    );
    return entry;
  }
}
