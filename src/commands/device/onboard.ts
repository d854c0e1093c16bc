import { Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { joinedText } from '../../lib/cli/render/provisioned.js';
import { next } from '../../lib/cli/render/text.js';
import { askForWifi, readWifiPassword } from '../../lib/cli/wifi.js';
import { shellWord } from '../../lib/core/text.js';
import { joinedSchema, joinOverSerial } from '../../lib/device/onboard/improv.js';

export default class DeviceOnboard extends AiotCommand {
  static override summary = 'Connect a board to a Wi-Fi network.';
  static override description =
    "Sends the network's name and password over the serial port by Improv, an open protocol that ESPHome, WLED and Tasmota also support. The firmware keeps running: nothing is flashed, and the board keeps its identity. If it cannot join the network, firmware of aiot returns to its former one. On a terminal, asks for a missing name or password.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> --port /dev/ttyUSB0',
    '<%= config.bin %> <%= command.id %> --port /dev/ttyUSB0 --ssid plant --password-file wifi.txt --json',
    "<%= config.bin %> <%= command.id %> --port 'simulated:esp32?network=plant' --ssid plant",
  ];
  static override flags = {
    improv: Flags.boolean({ summary: 'Use Improv over the serial port, the default.', env: 'AIOT_IMPROV' }),
    port: shared.port,
    baud: Flags.integer({
      summary: 'Baud rate.',
      min: 50,
      default: 115_200,
      env: 'AIOT_BAUD',
      helpValue: 'BAUD',
    }),
    reset: Flags.boolean({ summary: 'Reset the board first.', env: 'AIOT_RESET', default: false }),
    ssid: Flags.string({
      summary: 'Name of the network [default: ask, and list the networks that the board sees].',
      env: 'AIOT_SSID',
      helpValue: 'NAME',
    }),
    'password-file': Flags.string({
      summary: 'File with the Wi-Fi password, or - for stdin [default: AIOT_WIFI_PASSWORD, else ask].',
      env: 'AIOT_PASSWORD_FILE',
      helpValue: 'FILE',
    }),
    timeout: shared.timeout,
  };
  static override result = joinedSchema;

  async run() {
    const { flags } = await this.input(DeviceOnboard);
    const { port, baud, reset, ssid, timeout: timeoutMs = 60_000 } = flags;
    const password = await readWifiPassword(flags['password-file']);
    const asks = process.stdin.isTTY && process.stderr.isTTY && !this.jsonEnabled();
    const progress = this.stages();
    const joined = await joinOverSerial({
      ...{ port, baud, reset, ssid, password, timeoutMs, signal: this.signal, onStage: progress },
      ask: asks ? (networks, name) => askForWifi(networks, name, this.signal) : undefined,
    });
    this.print(joinedText(joined));
    // The next command would simulate another chip.
    const watch = joined.port.startsWith('simulated:')
      ? []
      : [`aiot board monitor --port ${shellWord(joined.port)}`];
    this.print(next(...watch, 'aiot device list'));
    return joined;
  }
}
