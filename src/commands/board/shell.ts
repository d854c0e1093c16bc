import { Args } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { smpFlags, smpOptions } from '../../lib/cli/flags/boards.js';
import { boardShellSchema, runBoardShell } from '../../lib/flash/smp/boards.js';

export default class BoardShell extends AiotCommand {
  static override summary = 'Run a command in the shell of a board over SMP.';
  static override description =
    'For boards whose firmware contains an SMP server, such as one with Zephyr. Prints the output. The command exits with 1 if the shell command failed.';
  static override examples = [
    "<%= config.bin %> <%= command.id %> 'kernel version' --port udp:192.168.1.20",
    "<%= config.bin %> <%= command.id %> 'kernel uptime' --port /dev/ttyACM0 --json",
  ];
  static override args = {
    command: Args.string({ required: true, description: 'Command with its arguments.' }),
  };
  static override flags = { ...smpFlags };
  static override result = boardShellSchema;

  async run() {
    const { args, flags } = await this.input(BoardShell);
    const words = args.command.split(/\s+/).filter(Boolean);
    const result = await runBoardShell(smpOptions(flags, this.signal), words);
    this.print(result.output.trimEnd());
    if (result.status !== 0) this.exitsWith(1);
    return result;
  }
}
