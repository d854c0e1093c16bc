import { AiotCommand } from '../../lib/cli/command.js';
import { portsTable } from '../../lib/cli/render/board.js';
import { next } from '../../lib/cli/render/text.js';
import { listPorts, portSchema } from '../../lib/flash/port/list.js';

export default class DevicePorts extends AiotCommand {
  static override summary = 'List the serial ports of this machine, and what is likely behind them.';
  static override description =
    'Opens none of them, so no board is reset. A port in use says by which program, one that you may not open whom you have to belong to.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --json',
  ];
  static override result = portSchema.array();

  async run() {
    await this.input(DevicePorts);
    const ports = await listPorts();
    this.print(portsTable(ports));
    const boards = ports.filter(({ board }) => board);
    const denied = boards.find(({ access }) => access === 'denied');
    const [only] = boards;
    if (denied) this.print(next('aiot explain AIOT_SERIAL_DENIED'));
    else if (only)
      this.print(next(`aiot flash info --port ${only.path}`, `aiot monitor --port ${only.path}`));
    else this.print(next('aiot explain AIOT_SERIAL_NOT_FOUND', 'aiot docs flash'));
    return ports;
  }
}
