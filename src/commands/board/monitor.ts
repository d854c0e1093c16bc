import { Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { duration, shared } from '../../lib/cli/flags/shared.js';
import { MonitorScreen } from '../../lib/cli/live/monitor-screen.js';
import { levels, monitorEventSchema } from '../../lib/flash/monitor/events.js';
import { lineEnds, monitor } from '../../lib/flash/monitor/monitor.js';
import { parsePattern } from '../../lib/flash/monitor/pattern.js';

const pattern = Flags.custom<RegExp>({ parse: async (text) => parsePattern(text), helpValue: 'PATTERN' });

export default class BoardMonitor extends AiotCommand {
  static override summary = "Show a board's serial output.";
  static override description =
    'Waits for the port, and reconnects after a reset or when the cable is plugged in again. Does not reset a board unless you pass --reset; a chip at simulated:CHIP is always restarted. Without --timestamps, repeated lines are counted instead of printed. Text that you type is sent; press Ctrl-] to stop, or Ctrl-T r to reset the board. PATTERN is a regular expression; to add flags, write /PATTERN/i. Exits with 0 after --until or --for, 124 after --timeout, and 6 after --fail.';
  static override aliases = ['monitor'];
  static override examples = [
    '<%= config.bin %> <%= command.id %> --port /dev/ttyUSB0 --timestamps',
    "<%= config.bin %> <%= command.id %> --reset --until 'got ip' --fail 'Guru Meditation' --timeout 30s",
    '<%= config.bin %> <%= command.id %> --elf build/app.elf --level warn --record board.log',
    '<%= config.bin %> <%= command.id %> --port rfc2217://pi.local:2217 --plot',
    "<%= config.bin %> <%= command.id %> --port socket://127.0.0.1:5555 --send version --until '^v[0-9]' --timeout 5s --json",
  ];
  static override flags = {
    port: shared.port,
    baud: Flags.integer({
      summary: 'Baud rate.',
      min: 50,
      default: 115_200,
      env: 'AIOT_BAUD',
      helpValue: 'BAUD',
    }),
    reset: Flags.boolean({ summary: 'Reset the board first.', env: 'AIOT_RESET' }),
    until: pattern({ summary: 'Exit with 0 when a line matches.', env: 'AIOT_UNTIL' }),
    fail: pattern({ summary: 'Exit with 6 when a line matches.', env: 'AIOT_FAIL' }),
    timeout: shared.timeout,
    for: duration({ summary: 'Stop after this time, such as 30s.', env: 'AIOT_FOR' }),
    once: Flags.boolean({ summary: 'Do not wait for the port or reconnect.', env: 'AIOT_ONCE' }),
    filter: pattern({ summary: 'Show only lines that match.', env: 'AIOT_FILTER' }),
    exclude: pattern({ summary: 'Hide lines that match.', env: 'AIOT_EXCLUDE' }),
    level: Flags.option({ options: levels })({
      summary: 'Show only log lines of this level or higher.',
      env: 'AIOT_LEVEL',
    }),
    timestamps: Flags.boolean({ summary: 'Prefix each line with the time (UTC).', env: 'AIOT_TIMESTAMPS' }),
    elf: Flags.string({
      summary: 'ELF file of the program: shows source locations after a crash.',
      env: 'AIOT_ELF',
      helpValue: 'FILE',
    }),
    plot: Flags.boolean({ summary: 'Plot the values of lines that contain only numbers.', env: 'AIOT_PLOT' }),
    record: Flags.string({
      summary: 'Append the output to this file: byte for byte, or as events if its name ends in .jsonl.',
      env: 'AIOT_RECORD',
      helpValue: 'FILE',
    }),
    send: Flags.string({
      summary: 'Send this line when the board is connected. Repeatable.',
      multiple: true,
      multipleNonGreedy: true,
      env: 'AIOT_SEND',
      helpValue: 'TEXT',
    }),
    stdin: Flags.boolean({ summary: 'Send standard input to the board.', env: 'AIOT_STDIN' }),
    eol: Flags.option({ options: Object.keys(lineEnds) as (keyof typeof lineEnds)[] })({
      summary: 'Line ending for sent lines.',
      default: 'lf',
      env: 'AIOT_EOL',
    }),
    raw: Flags.boolean({
      summary: 'Print the bytes unchanged, for programs that draw on the terminal.',
      env: 'AIOT_RAW',
      exclusive: ['json', 'plot', 'filter', 'exclude', 'level', 'timestamps'],
    }),
  };
  static override result = monitorEventSchema;

  async run() {
    const { flags } = await this.input(BoardMonitor);
    const { for: forMs, timeout: timeoutMs, timestamps, plot, raw, stdin, ...how } = flags;
    const { stdout } = process;
    const keys = process.stdin.isTTY && stdout.isTTY && !this.jsonEnabled();
    const screen = new MonitorScreen({
      ...{
        timestamps,
        hasElf: flags.elf !== undefined,
        plot: plot && !this.jsonEnabled(),
        raw,
        stdout,
        eol: lineEnds[flags.eol],
      },
      stdin: stdin || keys ? process.stdin : null,
      note: (text) => this.note(text),
    });
    const options = { ...how, ...screen.wiring, forMs, timeoutMs, values: plot, signal: this.signal };
    if (this.jsonEnabled()) options.onEvent = (event) => this.item(event, () => '');
    try {
      await monitor(options);
    } finally {
      screen.close();
    }
  }
}
