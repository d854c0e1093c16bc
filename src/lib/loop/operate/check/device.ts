import { constants } from 'node:fs';
import { access, readFile, stat } from 'node:fs/promises';
import { systemCode, userName } from '../../../core/index.js';
import { type CheckLine, failed, ok } from './line.js';

/** Whether this user may read and write a device; undefined where it is not there, which others tell better. */
export async function checkDevice(node: string, groups = '/etc/group'): Promise<CheckLine | undefined> {
  try {
    await access(node, constants.R_OK | constants.W_OK);
    return ok('permission', `${node} may be read and written`);
  } catch (error) {
    if (systemCode(error) !== 'EACCES' && systemCode(error) !== 'EPERM') return undefined;
  }
  const { gid } = await stat(node);
  const group = await groupNamed(gid, groups);
  const username = userName();
  return failed(
    'permission',
    `${username} may not use ${node}, which is for the group ${group ?? gid}`,
    group === undefined || group === 'root'
      ? `A rule of udev gives it to a group: SUBSYSTEM=="…", GROUP="…", MODE="0660"; or run as root to try.`
      : `sudo usermod -aG ${group} ${username}, then log in again`,
  );
}

async function groupNamed(gid: number, file: string): Promise<string | undefined> {
  const lines = (await readFile(file, 'utf8').catch(() => '')).split('\n').map((line) => line.split(':'));
  return lines.find(([, , id]) => id === String(gid))?.[0];
}

/** The device of a sensor's or an output's address; undefined where it has none. */
export function nodeOf(url: string): string | undefined {
  const [, scheme = '', rest = ''] = /^([a-z][\w+.-]*):(?:\/\/)?(.*)$/is.exec(url) ?? [];
  const place = rest.replace(/[?#].*$/s, '');
  switch (scheme.toLowerCase()) {
    case 'i2c': {
      const bus = decodeURIComponent(place.split('/', 1)[0]!);
      return bus === 'sim' || bus === '' ? undefined : bus.startsWith('/') ? bus : `/dev/i2c-${bus}`;
    }
    case 'gpio':
      return `/dev/${place.split('/', 1)[0]}`;
    case 'serial':
      return place.startsWith('/') ? place : `/${place}`;
    case 'camera':
      return place.startsWith('/dev/') ? place : undefined;
    default:
      return undefined;
  }
}
