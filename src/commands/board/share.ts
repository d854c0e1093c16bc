import { Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { dim, timeOfDay } from '../../lib/cli/render/text.js';
import { choosePort } from '../../lib/flash/port/list.js';
import { describeServeEvent, serveEventSchema, servePort } from '../../lib/flash/port/rfc2217-server.js';

export default class BoardShare extends AiotCommand {
  static override summary = 'Share a serial port over the network.';
  static override description =
    'Other machines connect with --port rfc2217://HOST:PORT, in aiot or esptool, with control of baud rate and resets. One client can connect at a time. With --raw, the address is socket://HOST:PORT and only bytes are transferred. There is no password, and clients fully control the board, so by default only this machine can connect. Press Ctrl-C to stop.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> --port /dev/ttyUSB0',
    '<%= config.bin %> <%= command.id %> --port COM3 --host 0.0.0.0 --listen 4000',
    '<%= config.bin %> <%= command.id %> --port /dev/ttyUSB0 --raw --baud 921600 --json',
  ];
  static override flags = {
    port: shared.port,
    host: Flags.string({
      summary: "Address to listen on; 0.0.0.0 = all of this machine's addresses.",
      default: '127.0.0.1',
      env: 'AIOT_HOST',
      helpValue: 'HOST',
    }),
    listen: Flags.integer({
      summary: 'TCP port to listen on; 0 = any free port.',
      min: 0,
      max: 65_535,
      default: 2217,
      env: 'AIOT_LISTEN',
      helpValue: 'PORT',
    }),
    raw: Flags.boolean({ summary: 'Transfer bytes only, without baud rate or resets.', env: 'AIOT_RAW' }),
    baud: Flags.integer({
      summary: 'Initial baud rate; clients can change it.',
      min: 50,
      default: 115_200,
      env: 'AIOT_BAUD',
      helpValue: 'BAUD',
    }),
  };
  static override result = serveEventSchema;

  async run() {
    const { flags } = await this.input(BoardShare);
    const { host, listen: port, raw, baud } = flags;
    await servePort({
      ...{ path: await choosePort(flags.port), baud, host, port, raw, signal: this.signal },
      onEvent: (event) =>
        this.item(event, () => `${dim(timeOfDay(Date.now()))}  ${describeServeEvent(event)}`),
    });
  }
}
