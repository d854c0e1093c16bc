// One area in a process of its own: `node --import tsx one.ts AREA FOLDER [--quick] [--only CASE,CASE]`. Results go to the parent as
// messages; what it prints is for people. When the parent is gone it ends, with all that it started.
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
// Mosquitto, started by root, becomes a user of its own, which has to find its folder.
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
// What was told is not yet with the parent when this process ends at once.
const told: Promise<void>[] = [];
await runCases({ name, area, only: values.only?.split(',') }, bench, (result) => {
  told.push(new Promise((resolve) => process.send?.(result, undefined, undefined, () => resolve())));
});
await Promise.all(told);
process.exit(0);
