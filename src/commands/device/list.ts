import { AiotCommand } from '../../lib/cli/command.js';
import { selector } from '../../lib/cli/flags/fleet.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { devicesTable } from '../../lib/cli/render/fleet.js';
import { next } from '../../lib/cli/render/text.js';
import { listSchemas } from '../../lib/registry/api.js';
import { withClient } from '../../lib/registry/context.js';

export default class DeviceList extends AiotCommand {
  static override summary = 'List the devices of the platform.';
  static override description =
    'A selector compares name, id, type, state, group, online, model, fw, lastSeen, created, mac and tags with = != < <= > >= ~ (a pattern with * and ?) and in (A, B); has KEY asks whether there is one; and, or, not and parentheses join them. Versions are compared as such, times are ago: lastSeen>2d.';
  static override hiddenAliases = ['device'];
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    "<%= config.bin %> <%= command.id %> --selector 'type=esp32 and fw<1.4' --json",
    "<%= config.bin %> <%= command.id %> --selector 'site=lab and not online=true'",
  ];
  static override flags = { selector, context: shared.context };
  static override result = listSchemas.devices.shape.devices;

  async run() {
    const input = await this.input(DeviceList);
    const { flags } = input;
    const at = again(input, 'context');
    const devices = await withClient(flags.context, (client) => client.devices.list(flags.selector));
    this.print(devicesTable(devices, Date.now()));
    const [first] = devices;
    const none = flags.selector === undefined ? 'provision NAME --type virtual --out DIR' : 'list';
    this.print(next(`aiot device ${first ? `show ${first.name}` : none}${at}`));
    return devices;
  }
}
