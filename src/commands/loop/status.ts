import { Args } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { loopsNext, loopsText } from '../../lib/cli/render/loop.js';
import { next } from '../../lib/cli/render/text.js';
import { listedLoopsSchema, listLoops, loopsExit } from '../../lib/loop/operate/list.js';

export default class LoopStatus extends AiotCommand {
  static override summary = 'Show the loops on this machine: states and recent events.';
  static override description =
    'Shows your own loops and those that run as services. Exits with 0 if all are healthy, 6 if any is not, and 4 if there are none.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> har-imu --json',
  ];
  static override args = { name: Args.string({ description: 'Name of one loop, to show its details.' }) };
  static override result = listedLoopsSchema;

  async run() {
    const { args } = await this.input(LoopStatus);
    const listed = await listLoops({ name: args.name });
    const exit = loopsExit(listed, args.name !== undefined);
    if (exit !== 0) this.exitsWith(exit);
    this.print(loopsText(listed, args.name !== undefined));
    this.suggest(next(...loopsNext(listed)));
    return listed;
  }
}
