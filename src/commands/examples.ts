import { Args } from '@oclif/core';
import * as z from 'zod';
import { sheetsFor } from '../lib/cli/cheat-sheets.js';
import { AiotCommand } from '../lib/cli/command.js';
import { cheatText } from '../lib/cli/render/streams.js';

const pair = (first: string, second: string) => z.object({ [first]: z.string(), [second]: z.string() });

export default class Examples extends AiotCommand {
  static override summary = 'Show examples of a command, a broker or a task.';
  static override description =
    'Brokers: kafka, mqtt, nats, serial, http, s3. Tools and tasks: esptool, tflite, fleet, pipeline, platform. Each command is shown below its task or below the command that it replaces. You can also name a command, such as rollout start, or a group of commands, such as rollout.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> kafka',
    '<%= config.bin %> <%= command.id %> rollout start',
    '<%= config.bin %> <%= command.id %>',
  ];
  static override strict = false;
  static override args = {
    topic: Args.string({
      description: 'Broker, tool, task or command [default: all brokers, tools and tasks].',
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
    const { words } = await this.input(Examples);
    const wanted = sheetsFor(words.join(' '), this.config);
    this.print(wanted.map(([, sheet]) => cheatText(sheet)).join('\n\n'));
    return wanted.map(([topic, { about, lines, settings }]) => ({
      topic,
      about,
      lines: lines.map(([what, command]) => ({ what, command })),
      settings: settings.map(([setting, meaning]: readonly [string, string]) => ({ setting, meaning })),
    }));
  }
}
