import { Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { duration } from '../../lib/cli/flags/shared.js';
import { dim, timeOfDay } from '../../lib/cli/render/text.js';
import { startFaultNames } from '../../lib/flash/rom/control.js';
import { simulatedChipNames } from '../../lib/flash/rom/identity.js';
import { chipEventSchema, describeChipEvent, simulateChip } from '../../lib/flash/rom/simulate.js';

const boots = ['download', 'uart', 'run'] as const;

export default class BoardSimulate extends AiotCommand {
  static override summary = 'Simulate a bare ESP chip on a serial port.';
  static override description =
    'The simulated chip has a ROM loader, flasher stub, flash, boot messages and faults, with realistic timing. aiot flash, aiot board monitor, esptool and espflash work with it. It does not run the program in its flash; use aiot device simulate for that. For a list of the faults, run aiot docs simulated-chip. Press Ctrl-C to stop.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> --chip esp32c3 --flash board.bin',
    '<%= config.bin %> <%= command.id %> --listen socket://127.0.0.1:5555 --fault "unplugged after=40"',
    '<%= config.bin %> <%= command.id %> --listen rfc2217://127.0.0.1:2217 --control 0 --for 10m --json',
  ];
  static override flags = {
    chip: Flags.option({ options: simulatedChipNames })({
      summary: 'Chip to simulate.',
      default: 'esp32',
      env: 'AIOT_CHIP',
    }),
    listen: Flags.string({
      summary: 'Port to listen on: pty (using socat), socket://HOST:PORT or rfc2217://HOST:PORT.',
      default: 'pty',
      env: 'AIOT_LISTEN',
      helpValue: 'WHERE',
    }),
    flash: Flags.string({
      summary: 'File with the flash contents: read at startup, written on exit.',
      env: 'AIOT_FLASH',
      helpValue: 'FILE',
    }),
    mac: Flags.string({
      summary: "The chip's MAC address [default: 24:0a:c4:00:01:10].",
      env: 'AIOT_MAC',
      helpValue: 'MAC',
    }),
    boot: Flags.option({ options: boots })({
      summary:
        'Start mode at power-on: download = the loader, until DTR or RTS is used; uart = the loader on the UART only; run = boot from flash.',
      default: 'download',
      env: 'AIOT_BOOT',
    }),
    fault: Flags.string({
      summary: `Fault to simulate. Repeatable. One of ${startFaultNames.join(', ')}; with values, such as "noise rate=0.001" or "unplugged after=40".`,
      multiple: true,
      env: 'AIOT_FAULT',
      helpValue: 'FAULT',
    }),
    control: Flags.integer({
      summary:
        'TCP port for a control channel (reset, boot, lines, fault, clear, plug, state); 0 = any free port.',
      min: 0,
      max: 65_535,
      env: 'AIOT_CONTROL',
      helpValue: 'PORT',
    }),
    for: duration({ summary: 'Stop after this time, such as 30s.', env: 'AIOT_FOR' }),
  };
  static override result = chipEventSchema;

  async run() {
    const { flags } = await this.input(BoardSimulate);
    const { chip, listen, flash: flashFile, mac, boot, fault: faults = [], control, for: forMs } = flags;
    await simulateChip({
      chip,
      listen,
      flashFile,
      mac,
      boot,
      faults,
      control,
      forMs,
      signal: this.signal,
      onEvent: (event) =>
        this.item(event, () => `${dim(timeOfDay(Date.now()))}  ${describeChipEvent(event)}`),
    });
  }
}
