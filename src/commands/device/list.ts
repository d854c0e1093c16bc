import { listSchemas } from '../../lib/api/api.js';
import { selector } from '../../lib/cli/flags/fleet.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { devicesTable } from '../../lib/cli/render/fleet.js';

export default class DeviceList extends PlatformCommand {
  static override summary = "List the platform's devices.";
  static override description =
    'A selector compares name, id, type, state, group, online, model, fw, lastSeen, created, mac and tags. The operators = != < <= > >= compare values, and ~ matches a pattern with * and ?. Use in (A, B) for any of several values, and has KEY for devices that have this tag. Combine conditions with and, or, not and parentheses. Versions compare numerically (1.10 > 1.9). Times are ages: lastSeen>2d means more than two days ago.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    "<%= config.bin %> <%= command.id %> --selector 'type=esp32 and fw<1.4' --json",
    "<%= config.bin %> <%= command.id %> --selector 'site=lab and not online=true'",
  ];
  static override flags = { selector, context: shared.context };
  static override result = listSchemas.devices.shape.devices;

  async run() {
    const input = await this.input(DeviceList);
    const { selector } = input.flags;
    return this.ask(
      input,
      ({ devices }) => devices.list(selector),
      (devices) => devicesTable(devices, Date.now()),
      ([first]) => {
        const none = selector === undefined ? 'provision NAME --type virtual --out DIR' : 'list';
        return [`aiot device ${first ? `show ${first.name}` : none}`];
      },
    );
  }
}
