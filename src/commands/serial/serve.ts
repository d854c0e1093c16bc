import { Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { dim } from '../../lib/cli/render/style.js';
import { timeOfDay } from '../../lib/cli/render/time.js';
import { choosePort } from '../../lib/flash/port/list.js';
import { describeServeEvent, serveEventSchema, servePort } from '../../lib/flash/port/rfc2217-server.js';

export default class SerialServe extends AiotCommand {
  static override summary = 'Share a serial port with another machine, by RFC 2217 or as plain bytes.';
  static override description =
    'Other machines then use --port rfc2217://HOST:PORT, with speed and resets, in aiot as in esptool; one at a time. With --raw it is socket://HOST:PORT: bytes alone. There is no password: who can connect can do everything with the board, so it listens on this machine alone unless told a host. Ctrl-C ends it.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> --port /dev/ttyUSB0',
    '<%= config.bin %> <%= command.id %> --port COM3 --host 0.0.0.0 --listen 4000',
    '<%= config.bin %> <%= command.id %> --port /dev/ttyUSB0 --raw --baud 921600 --json',
  ];
  static override flags = {
    port: shared.port,
    host: Flags.string({
      summary: 'Address to listen on; 0.0.0.0 = every network.',
      default: '127.0.0.1',
      env: 'AIOT_HOST',
      helpValue: 'HOST',
    }),
    listen: Flags.integer({
      summary: 'TCP port to listen on; 0 = any free one.',
      min: 0,
      max: 65_535,
      default: 2217,
      env: 'AIOT_LISTEN',
      helpValue: 'PORT',
    }),
    raw: Flags.boolean({ summary: 'Bytes alone: no speed, no resets.', env: 'AIOT_RAW' }),
    baud: Flags.integer({
      summary: 'Bits per second until a client sets others.',
      min: 50,
      default: 115_200,
      env: 'AIOT_BAUD',
      helpValue: 'BAUD',
    }),
  };
  static override result = serveEventSchema;

  async run() {
    const { flags } = await this.input(SerialServe);
    const { host, listen: port, raw, baud } = flags;
    await servePort({
      ...{ path: await choosePort(flags.port), baud, host, port, raw, signal: this.signal },
      onEvent: (event) =>
        this.item(event, () => `${dim(timeOfDay(Date.now()))}  ${describeServeEvent(event)}`),
    });
  }
}
