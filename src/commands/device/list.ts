import { AiotCommand, again, next, shared, table } from '../../lib/cli/index.js';
import { listSchemas, withClient } from '../../lib/registry/index.js';

export default class DeviceList extends AiotCommand {
  static override summary = 'List the devices of the platform.';
  static override hiddenAliases = ['device'];
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --json',
  ];
  static override flags = { context: shared.context };
  static override result = listSchemas.devices.shape.devices;

  async run() {
    const input = await this.input(DeviceList);
    const { flags } = input;
    const at = again(input, 'context');
    const devices = await withClient(flags.context, (client) => client.devices.list());
    const rows = devices.map(({ name, type, state, online, model, updateState }) => [
      cut(name),
      cut(type),
      state,
      online ? 'online' : 'offline',
      model ? `${model.name}@${model.version}` : null,
      updateState,
    ]);
    this.print(table(['name', 'type', 'state', 'presence', 'model', 'update'], rows, 'No devices yet.'));
    const [first] = devices;
    this.print(
      next(
        first
          ? `aiot device show ${first.name}${at}`
          : `aiot device provision NAME --type virtual --out DIR${at}`,
      ),
    );
    return devices;
  }
}

/** One long name does not make the whole table wide: the whole of it is in the JSON, and in `device show`. */
function cut(text: string): string {
  return text.length <= longest ? text : `${text.slice(0, longest - 1)}…`;
}
const longest = 32;
