import { Flags } from '@oclif/core';
import { AiotCommand } from '../lib/cli/command.js';
import { duration, shared } from '../lib/cli/flags/shared.js';
import { MonitorScreen } from '../lib/cli/live/monitor-screen.js';
import { levels, monitorEventSchema } from '../lib/flash/monitor/events.js';
import { lineEnds, monitor } from '../lib/flash/monitor/monitor.js';
import { parsePattern } from '../lib/flash/monitor/pattern.js';

const pattern = Flags.custom<RegExp>({ parse: async (text) => parsePattern(text), helpValue: 'PATTERN' });

export default class Monitor extends AiotCommand {
  static override summary = 'Show what a board says on its serial port, until something ends it.';
  static override description =
    'Waits for the port, and for it to come back after a reset or a pulled cable. Resets nothing unless told to. What is typed at a terminal is sent; Ctrl-] ends it, Ctrl-T r resets the board. PATTERN is a regular expression, or /one/i with flags. Exits with 0 when --until or --for ended it, 124 when --timeout did, 6 when --fail did.';
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
      summary: 'Bits per second.',
      min: 50,
      default: 115_200,
      env: 'AIOT_BAUD',
      helpValue: 'BAUD',
    }),
    reset: Flags.boolean({ summary: 'Reset the board first.', env: 'AIOT_RESET' }),
    until: pattern({ summary: 'End well when a line matches.', env: 'AIOT_UNTIL' }),
    fail: pattern({ summary: 'End with 6 when a line matches.', env: 'AIOT_FAIL' }),
    timeout: shared.timeout,
    for: duration({ summary: 'End after this time, such as 30s.', env: 'AIOT_FOR' }),
    once: Flags.boolean({ summary: 'Neither wait for the port nor for it to come back.', env: 'AIOT_ONCE' }),
    filter: pattern({ summary: 'Show only lines that match.', env: 'AIOT_FILTER' }),
    exclude: pattern({ summary: 'Show no lines that match.', env: 'AIOT_EXCLUDE' }),
    level: Flags.option({ options: levels })({
      summary: 'Show only log lines at least as grave.',
      env: 'AIOT_LEVEL',
    }),
    timestamps: Flags.boolean({ summary: 'Put the time before each line (UTC).', env: 'AIOT_TIMESTAMPS' }),
    elf: Flags.string({
      summary: 'ELF file of the program: names the places in the source when it crashes.',
      env: 'AIOT_ELF',
      helpValue: 'FILE',
    }),
    plot: Flags.boolean({ summary: 'Plot the numbers of lines that consist of numbers.', env: 'AIOT_PLOT' }),
    record: Flags.string({
      summary: 'Append what comes to this file, byte for byte; to FILE.jsonl as events.',
      env: 'AIOT_RECORD',
      helpValue: 'FILE',
    }),
    send: Flags.string({
      summary: 'Send this line once the board is there; more than once for more.',
      multiple: true,
      multipleNonGreedy: true,
      env: 'AIOT_SEND',
      helpValue: 'TEXT',
    }),
    stdin: Flags.boolean({ summary: 'Send what comes on standard input.', env: 'AIOT_STDIN' }),
    eol: Flags.option({ options: Object.keys(lineEnds) as (keyof typeof lineEnds)[] })({
      summary: 'What ends a sent line.',
      default: 'lf',
      env: 'AIOT_EOL',
    }),
    raw: Flags.boolean({
      summary: 'Print the bytes as they come: for programs that draw.',
      env: 'AIOT_RAW',
      exclusive: ['json', 'plot', 'filter', 'exclude', 'level', 'timestamps'],
    }),
  };
  static override result = monitorEventSchema;

  async run() {
    const { flags } = await this.input(Monitor);
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
