// One area in a separate process: `node --import tsx one.ts AREA FOLDER [--quick] [--only CASE,CASE]`. Results are sent to the parent as
// IPC messages; stdout and stderr are for people. If the parent ends, this process also ends, with all its child processes.
import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type AreaName, areas, type Bench } from './area.js';
import { runCases } from './cases.js';
import { tidyAtEnd } from './tidy.js';

const { values, positionals } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, only: { type: 'string' } },
  allowPositionals: true,
});
const [name = '', root = ''] = positionals;
tidyAtEnd(root);
process.once('disconnect', () => process.exit(1));
// Mosquitto, if started by root, switches to its own user, which must be able to access its folder.
chmodSync(root, 0o711);
process.env.TMPDIR = root;
process.env.AIOT_CONFIG_DIR = join(root, 'config');
process.env.AIOT_DATA_DIR = join(root, 'data');

let folders = 0;
const bench: Bench = {
  quick: values.quick,
  folder() {
    const path = join(root, String(++folders));
    mkdirSync(path);
    return path;
  },
};
const { area } = await areas[name as AreaName].load();
// Each message is awaited, because a process that exits immediately may lose some.
const told: Promise<void>[] = [];
await runCases({ name, area, only: values.only?.split(',') }, bench, (result) => {
  told.push(new Promise((resolve) => process.send?.(result, undefined, undefined, () => resolve())));
});
await Promise.all(told);
process.exit(0);
