import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { access, stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { size } from '../../../core/index.js';
import { type CheckLine, failed, ok, warning } from './line.js';

/** Below this nothing else on the machine works well either. */
const leastBytes = 50 * 1024 ** 2;

/** Whether there is room for what waits for outputs. @param wantedBytes the limits of all of them */
export async function checkDisk(folder: string, wantedBytes: number): Promise<CheckLine> {
  const there = await existing(folder);
  const may =
    (await stat(there)).isDirectory() &&
    (await access(there, constants.W_OK).then(
      () => true,
      () => false,
    ));
  if (!may) {
    return failed(
      'disk',
      `${there} cannot be written`,
      'Give it to the user of the loop, or set AIOT_DATA_DIR to another folder.',
    );
  }
  const { bavail, bsize } = await statfs(there);
  const free = bavail * bsize;
  const detail = `${size(free)} free for ${folder}`;
  const next = 'Free some space, or set AIOT_DATA_DIR to a folder on another disk.';
  if (free < leastBytes) return failed('disk', detail, next);
  if (free < leastBytes + wantedBytes) {
    return warning(
      'disk',
      `${detail}; what waits for outputs may take ${size(wantedBytes)}`,
      `${next} Or lower loop.spool in aiot.yaml.`,
    );
  }
  return ok('disk', detail);
}

async function existing(path: string): Promise<string> {
  const there = await access(path).then(
    () => true,
    () => false,
  );
  return there || dirname(path) === path ? path : existing(dirname(path));
}

/** A Pi has no battery for its clock: before the network has told the time, it is that of the last shutdown. */
const builtAfter = Date.UTC(2025, 0, 1);

/** Whether the clock is right. @param synchronized what the system says of it; undefined = nothing */
export async function checkClock(
  now: number,
  synchronized: () => Promise<boolean | undefined> = askSystem,
): Promise<CheckLine> {
  const time = new Date(now).toISOString();
  if (now < builtAfter) {
    return failed(
      'clock',
      `it says ${time}`,
      'Set it: sudo timedatectl set-ntp true, and a network; without one: sudo date -s TIME',
    );
  }
  const known = await synchronized();
  if (known) return ok('clock', `synchronized, ${time}`);
  const detail =
    known === undefined ? `${time}; nobody here says whether that is right` : `${time}, not synchronized`;
  return warning(
    'clock',
    detail,
    'Answers are counted on all the same; their times may jump when it is set. sudo timedatectl set-ntp true, or a clock of its own (RTC).',
  );
}

/** systemd-timesyncd's own mark, or what timedatectl says of whichever service sets the clock. */
async function askSystem(): Promise<boolean | undefined> {
  const marked = await access('/run/systemd/timesync/synchronized').then(
    () => true,
    () => false,
  );
  if (marked) return true;
  try {
    const words = ['show', '--property=NTPSynchronized', '--value'];
    const { stdout } = await promisify(execFile)('timedatectl', words, { timeout: 3000 });
    return stdout.trim() === 'yes';
  } catch {
    return undefined;
  }
}
