import * as z from 'zod';
import { AiotCommand } from '../../lib/cli/command.js';
import { portsTable } from '../../lib/cli/render/board.js';
import { next } from '../../lib/cli/render/text.js';
import { shellWord } from '../../lib/core/text.js';
import { driveSchema, listDrives } from '../../lib/flash/port/drives.js';
import { listPorts, portSchema } from '../../lib/flash/port/list.js';

export default class BoardPorts extends AiotCommand {
  static override summary = 'List serial ports and drives with their likely boards.';
  static override description =
    'Opens no port, so no board is reset. For a port in use, shows the program that uses it. For a port that you have no permission to open, shows the group to join. Also lists the drives of boards whose UF2 bootloader runs.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --json',
  ];
  static override result = z.union([portSchema, driveSchema]).array();

  async run() {
    await this.input(BoardPorts);
    const [ports, drives] = await Promise.all([listPorts(), listDrives()]);
    this.print(portsTable(ports, drives));
    const boards = ports.filter(({ board }) => board);
    const denied = boards.find(({ access }) => access === 'denied');
    const [only] = boards;
    const [drive] = drives;
    if (denied) this.suggest(next('aiot error AIOT_SERIAL_DENIED'));
    else if (only)
      this.suggest(next(`aiot board info --port ${only.path}`, `aiot board monitor --port ${only.path}`));
    else if (drive) this.suggest(next(`aiot flash app.uf2 --port ${shellWord(drive.path)}`));
    else this.suggest(next('aiot error AIOT_SERIAL_NOT_FOUND', 'aiot docs flash'));
    return [...ports, ...drives];
  }
}
