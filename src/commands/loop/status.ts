import { Args } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { loopsNext, loopsText } from '../../lib/cli/render/loop.js';
import { next } from '../../lib/cli/render/text.js';
import { listedLoopsSchema, listLoops, loopsExit } from '../../lib/loop/operate/list.js';

export default class LoopStatus extends AiotCommand {
  static override summary = 'Show the loops of this machine: running or not, and what happened.';
  static override hiddenAliases = ['loop'];
  static override description =
    'Loops of this user, and those that run as a service. Exit code 0 when they run well, 6 when one does not, 4 when there is none.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> har-imu --json',
  ];
  static override args = { name: Args.string({ description: 'One loop, with all that is known of it.' }) };
  static override result = listedLoopsSchema;

  async run() {
    const { args } = await this.input(LoopStatus);
    const listed = await listLoops({ name: args.name });
    const exit = loopsExit(listed, args.name !== undefined);
    if (exit !== 0) this.exitsWith(exit);
    this.print(loopsText(listed, args.name !== undefined));
    this.print(next(...loopsNext(listed)));
    return listed;
  }
}
