import { Args } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { tagsText } from '../../lib/cli/render/fleet.js';
import { bold } from '../../lib/cli/render/style.js';
import { facts, next } from '../../lib/cli/render/text.js';
import { day, minute } from '../../lib/cli/render/time.js';
import { withClient } from '../../lib/registry/context.js';
import { deviceSchema } from '../../lib/registry/fields.js';

export default class DeviceShow extends AiotCommand {
  static override summary = 'Show one device: its state, certificate and model.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> motor-1',
    '<%= config.bin %> <%= command.id %> motor-1 --json',
  ];
  static override args = { name: Args.string({ required: true, description: 'Name of the device.' }) };
  static override flags = { context: shared.context };
  static override result = deviceSchema;

  async run() {
    const input = await this.input(DeviceShow);
    const { args, flags } = input;
    const at = again(input, 'context');
    const device = await withClient(flags.context, (client) => client.devices.get(args.name));
    const { model, lastSeen } = device;
    this.print(bold(device.name));
    this.print(
      facts([
        ['id', device.id],
        ['type', device.type],
        ...(device.groups.length > 0 ? [['groups', device.groups.join(', ')] as Fact] : []),
        ...(Object.keys(device.tags).length > 0 ? [['tags', tagsText(device.tags)] as Fact] : []),
        ['state', `${device.state}, ${device.online ? 'online' : 'offline'}`],
        ['last seen', lastSeen === null ? 'never' : `${minute(lastSeen)} UTC`],
        ...(device.firmware === null ? [] : [['firmware', device.firmware] as Fact]),
        ['model', model ? `${model.name}@${model.version} (${model.digest})` : 'none'],
        ['update', device.updateState ?? 'nothing reported'],
        ['certificate', device.fingerprint ?? 'none yet'],
        ...(device.expires === null ? [] : [valid(device.expires)]),
        ...(device.next ? [waiting(device.next)] : []),
        ...(device.mac === null ? [] : [board(device.mac)]),
        ...(device.chipId === null ? [] : [alias(device.chipId)]),
      ]),
    );
    this.print(next(`aiot device history ${device.name}${at}`, `aiot device list${at}`));
    return device;
  }
}

type Fact = [string, string];
const valid = (expires: number): Fact => ['valid until', day(expires)];
const waiting = ({ fingerprint }: { fingerprint: string }): Fact => [
  'next certificate',
  `${fingerprint} (made, and not used yet)`,
];
const board = (mac: string): Fact => ['board', mac];
const alias = (chipId: string): Fact => ['chip id', chipId];
