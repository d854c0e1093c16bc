import { Args, Flags } from '@oclif/core';
import * as z from 'zod';
import { AiotCommand } from '../lib/cli/command.js';
import { documentList, documentText, findInDocuments, placeOf, sectionFor } from '../lib/cli/documents.js';
import { next, table } from '../lib/cli/render/text.js';
import { AiotError } from '../lib/core/errors.js';

const pageSchema = z.object({ page: z.string(), title: z.string(), about: z.string() });
const sectionSchema = z.object({ page: z.string(), heading: z.string(), line: z.int(), text: z.string() });

export default class Docs extends AiotCommand {
  static override summary = 'Read the documentation that comes with aiot.';
  static override description =
    'Without PAGE, lists all pages. PAGE#WORDS shows the section whose heading contains these words. The name of a command, such as data import, shows its reference. --find searches all pages; the arguments search WORDS do the same.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> quick-start',
    '<%= config.bin %> <%= command.id %> project#rows',
    '<%= config.bin %> <%= command.id %> data import',
    "<%= config.bin %> <%= command.id %> --find 'mutual tls' --json",
  ];
  static override strict = false;
  static override args = {
    page: Args.string({ description: 'Page, such as quick-start or motor, or command.' }),
  };
  static override flags = {
    find: Flags.string({
      summary: 'Show sections that contain these words.',
      env: 'AIOT_FIND',
      helpValue: 'WORDS',
    }),
  };
  static override result = z.union([z.array(pageSchema), z.array(sectionSchema), sectionSchema]);

  async run() {
    const { flags, words } = await this.input(Docs);
    const name = words.join(' ');
    if (flags.find !== undefined) {
      if (name !== '') throw new AiotError('AIOT_USAGE', `expected a page or --find, got both: ${name}`);
      return this.found(flags.find);
    }
    if (name === '') return this.pages();
    const [first, ...searched] = words;
    if ((first === 'search' || first === 'find') && searched.length > 0)
      return this.found(searched.join(' '));
    const section = sectionFor(name, this.config);
    this.print(documentText(section.text));
    return section;
  }

  private found(words: string) {
    const found = findInDocuments(words);
    this.print(
      table(
        ['page', 'section', 'line'],
        found.map(({ page, heading, line }) => [page, heading, line]),
        'nothing',
      ),
    );
    if (found[0]) this.suggest(next(`aiot docs ${placeOf(found[0])}`));
    return found;
  }

  private pages() {
    const pages = documentList().map(({ text: _, ...page }) => page);
    this.print(
      table(
        ['page', 'title'],
        pages.map(({ page, title }) => [page, documentText(title)]),
      ),
    );
    this.suggest(next('aiot docs quick-start'));
    return pages;
  }
}
