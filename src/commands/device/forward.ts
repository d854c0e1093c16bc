import { Args } from '@oclif/core';
import { withClient } from '../../lib/api/context.js';
import { AiotCommand } from '../../lib/cli/command.js';
import { remoteTime } from '../../lib/cli/flags/fleet.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { forwardText } from '../../lib/cli/render/fleet.js';
import { forwardEventSchema, forwardPort, forwardPortsOf } from '../../lib/device/remote/operate.js';

export default class DeviceForward extends AiotCommand {
  static override summary = 'Forward a local port to a port of a device.';
  static override description =
    'Works through the platform if the device runs aiot device agent with --allow forward=PORT. Listens on 127.0.0.1 until Ctrl-C, or until --for is over. If the platform restarts, open connections end, and later ones use a new session. The platform records each session in the audit log.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> pi-1 8080:80',
    '<%= config.bin %> <%= command.id %> pi-1 0:192.168.1.20:502 --for 1h --json',
  ];
  static override args = {
    name: Args.string({ required: true, description: 'Device name.' }),
    ports: Args.string({
      required: true,
      description: 'LOCAL:PORT, or LOCAL:HOST:PORT for another host in the device’s network.',
    }),
  };
  static override flags = { for: remoteTime, context: shared.context };
  static override result = forwardEventSchema;

  async run() {
    const { args, flags } = await this.input(DeviceForward);
    const ports = forwardPortsOf(args.ports);
    await withClient(flags.context, (client) =>
      forwardPort({
        ...{ client, device: args.name, ports, forMs: flags.for, signal: this.signal },
        onEvent: (event) => this.item(event, () => forwardText(event)),
      }),
    );
  }
}
