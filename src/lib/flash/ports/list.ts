import { constants } from 'node:fs';
import { access, readFile, stat } from 'node:fs/promises';
import { nativePart, systemCode } from '../../core/index.js';
import { type Holder, holdersOf } from '../port/holders.js';
import { adapterOf } from './adapters.js';
import { linuxPorts } from './linux.js';
import { listedPorts } from './listed.js';
import type { ListedPort, PortInfo } from './types.js';

/** What is asked of the system; tests give recorded answers. */
export interface PortSystem {
  list(): Promise<ListedPort[]>;
  access(path: string): Promise<Pick<PortInfo, 'access' | 'group'>>;
  /** Null: this system does not tell. */
  holders(path: string): Promise<Holder[] | null>;
}

/** The serial ports of this machine, those at which a board can be expected first. Opens none of them. */
export async function listPorts(system: PortSystem = thisSystem): Promise<PortInfo[]> {
  const ports = await Promise.all((await system.list()).map((port) => describePort(port, system)));
  const order = new Intl.Collator('en', { numeric: true });
  return ports.sort((a, b) => Number(b.board) - Number(a.board) || order.compare(a.path, b.path));
}

async function describePort(port: ListedPort, system: PortSystem): Promise<PortInfo> {
  const adapter = adapterOf(port.usb);
  const holders = await system.holders(port.path);
  return {
    ...port,
    adapter: adapter?.name ?? null,
    chips: adapter?.chips ?? [],
    board: port.kind === 'usb',
    ...(await system.access(port.path)),
    busy: holders && holders.length > 0,
    holders: holders ?? [],
  };
}

const thisSystem: PortSystem = {
  list: async () => {
    if (process.platform === 'linux') return linuxPorts();
    const { SerialPort } = await nativePart('serialport', () => import('serialport'));
    return listedPorts(await SerialPort.list());
  },
  access: accessTo,
  holders: async (path) => (process.platform === 'linux' ? holdersOf(path) : null),
};

async function accessTo(path: string): Promise<Pick<PortInfo, 'access' | 'group'>> {
  // Windows' ports are no files; only opening one tells.
  if (process.platform === 'win32') return { access: 'unknown', group: null };
  try {
    await access(path, constants.R_OK | constants.W_OK);
    return { access: 'ok', group: null };
  } catch (error) {
    // Listed, and no file of it here: in a container, as a rule.
    if (systemCode(error) === 'ENOENT') return { access: 'unknown', group: null };
    return { access: 'denied', group: await groupOf(path) };
  }
}

async function groupOf(path: string): Promise<string | null> {
  const about = await stat(path).catch(() => null);
  const groups = await readFile('/etc/group', 'utf8').catch(() => '');
  const row = groups.split('\n').find((line) => line.split(':')[2] === String(about?.gid));
  return row?.split(':')[0] ?? null;
}
