import { Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { joinedText } from '../../lib/cli/render/provisioned.js';
import { next } from '../../lib/cli/render/text.js';
import { readSecret } from '../../lib/cli/secrets.js';
import { askForWifi, readWifiPassword } from '../../lib/cli/wifi.js';
import { shellWord } from '../../lib/core/text.js';
import { joinedSchema, joinOverSerial } from '../../lib/device/onboard/improv.js';
import type { SeenNetwork } from '../../lib/device/onboard/improv-session.js';
import { joinOverSoftap } from '../../lib/device/onboard/softap.js';

const needsSoftap = [{ type: 'all' as const, flags: ['softap'] }];

export default class DeviceOnboard extends AiotCommand {
  static override summary = 'Connect a board to a Wi-Fi network.';
  static override description =
    "Sends the network's name and password over the serial port by Improv, an open protocol that ESPHome, WLED and Tasmota also support. With --softap, sends them over the board's own Wi-Fi network, using ESP-IDF's unified provisioning with security scheme 2 (SRP6a). The firmware keeps running: nothing is flashed, and the board keeps its identity. If the board cannot join the network, aiot firmware returns to the previous network. On a terminal, asks for a missing name or password.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> --port /dev/ttyUSB0',
    '<%= config.bin %> <%= command.id %> --port /dev/ttyUSB0 --ssid plant --password-file wifi.txt --json',
    '<%= config.bin %> <%= command.id %> --softap --board-password-file board.txt --ssid plant --password-file wifi.txt',
  ];
  static override flags = {
    improv: Flags.boolean({ summary: 'Use Improv over the serial port, the default.', env: 'AIOT_IMPROV' }),
    softap: Flags.boolean({
      summary: "Use the board's own Wi-Fi network, which this computer has joined.",
      env: 'AIOT_SOFTAP',
      exclusive: ['improv', 'port', 'reset'],
    }),
    'board-url': Flags.string({
      summary: "The board's address in its own network [default: http://192.168.4.1].",
      env: 'AIOT_BOARD_URL',
      helpValue: 'URL',
      relationships: needsSoftap,
    }),
    'board-user': Flags.string({
      summary: "User name of the board's provisioning service [default: wifiprov].",
      env: 'AIOT_BOARD_USER',
      helpValue: 'NAME',
      relationships: needsSoftap,
    }),
    'board-password-file': Flags.string({
      summary: "File with that service's password, or - for stdin [default: AIOT_BOARD_PASSWORD].",
      env: 'AIOT_BOARD_PASSWORD_FILE',
      helpValue: 'FILE',
      relationships: needsSoftap,
    }),
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
    const { port, baud, reset, ssid, softap, timeout: timeoutMs = 60_000 } = flags;
    const { 'board-url': url, 'board-user': user, 'board-password-file': secret } = flags;
    const password = await readWifiPassword(flags['password-file']);
    const asks = process.stdin.isTTY && process.stderr.isTTY && !this.jsonEnabled();
    const common = { ssid, password, timeoutMs, signal: this.signal, onStage: this.stages() };
    const ask = asks
      ? (networks: readonly SeenNetwork[], name: string | undefined) =>
          askForWifi(networks, name, this.signal)
      : undefined;
    const joined = softap
      ? await joinOverSoftap({
          ...{ ...common, ask, url },
          login: { user, password: await readSecret(secret, 'AIOT_BOARD_PASSWORD') },
        })
      : await joinOverSerial({ ...common, ask, port, baud, reset });
    this.print(joinedText(joined));
    // The next command would simulate another chip. A board that was reached over its own network has no known port.
    const watch =
      joined.port.startsWith('simulated:') || softap
        ? []
        : [`aiot board monitor --port ${shellWord(joined.port)}`];
    this.suggest(next(...watch, 'aiot device list'));
    return joined;
  }
}
