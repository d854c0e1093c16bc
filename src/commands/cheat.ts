import { Args } from '@oclif/core';
import { z } from 'zod';
import { AiotCommand, cheatText } from '../lib/cli/index.js';
import { cheatSheets } from '../lib/stream/index.js';

const pair = (first: string, second: string) => z.object({ [first]: z.string(), [second]: z.string() });

export default class Cheat extends AiotCommand {
  static override summary = 'Show the commands for a broker, to copy.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> kafka',
    '<%= config.bin %> <%= command.id %>',
  ];
  static override args = {
    broker: Args.string({ description: 'Which one; absent = all.', options: Object.keys(cheatSheets) }),
  };
  static override result = z.array(
    z.object({
      broker: z.string(),
      about: z.string(),
      lines: z.array(pair('what', 'command')),
      settings: z.array(pair('setting', 'meaning')),
    }),
  );

  async run() {
    const { args } = await this.input(Cheat);
    const wanted = Object.entries(cheatSheets).filter(([name]) => [undefined, name].includes(args.broker));
    this.print(wanted.map(([, sheet]) => cheatText(sheet)).join('\n\n'));
    return wanted.map(([broker, { about, lines, settings }]) => ({
      broker,
      about,
      lines: lines.map(([what, command]) => ({ what, command })),
      settings: settings.map(([setting, meaning]: readonly [string, string]) => ({ setting, meaning })),
    }));
  }
}
