import { Args } from '@oclif/core';
import * as z from 'zod';
import { allCheatSheets } from '../lib/cli/cheat-sheets.js';
import { AiotCommand } from '../lib/cli/command.js';
import { cheatText } from '../lib/cli/render/streams.js';

const pair = (first: string, second: string) => z.object({ [first]: z.string(), [second]: z.string() });

export default class Examples extends AiotCommand {
  static override summary = 'Show example commands for a broker or a task.';
  static override description =
    'Brokers: kafka, mqtt, nats, serial, http, s3. Tools and tasks: esptool, tflite, fleet, pipeline, platform. Each command is shown below its task or below the command that it replaces.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> kafka',
    '<%= config.bin %> <%= command.id %> esptool',
    '<%= config.bin %> <%= command.id %>',
  ];
  static override args = {
    topic: Args.string({
      description: 'Broker, tool or task [default: all].',
      options: Object.keys(allCheatSheets),
    }),
  };
  static override result = z.array(
    z.object({
      topic: z.string(),
      about: z.string(),
      lines: z.array(pair('what', 'command')),
      settings: z.array(pair('setting', 'meaning')),
    }),
  );

  async run() {
    const { args } = await this.input(Examples);
    const wanted = Object.entries(allCheatSheets).filter(([name]) => [undefined, name].includes(args.topic));
    this.print(wanted.map(([, sheet]) => cheatText(sheet)).join('\n\n'));
    return wanted.map(([topic, { about, lines, settings }]) => ({
      topic,
      about,
      lines: lines.map(([what, command]) => ({ what, command })),
      settings: settings.map(([setting, meaning]: readonly [string, string]) => ({ setting, meaning })),
    }));
  }
}
