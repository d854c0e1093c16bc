// A lock for installing, building and replacing files of a clone. Without it, two concurrent builds would delete each other's files.
import { mkdirSync, readdirSync, readFileSync, renameSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** Maximum wait, ms: a first installation and build take about a minute, and several minutes on a slow network. */
const longestMs = 10 * 60_000;
const pollMs = 100;

/** Folder for the lock and for unfinished builds: on the same file system as the results, so that these can be renamed into place. */
export function workFolder(root) {
  return join(root, '.build');
}

/**
 * Waits until no other process has the turn, then takes it until this process ends. If the parent process has the turn, this process shares
 * it.
 *
 * The lock is a folder with one empty file for each process that shares it, named after the process ID. A process takes the lock by
 * renaming a prepared folder to the lock's name, which fails while the lock contains a file. A dead process's file is removed by its name,
 * so this can never remove the file of a process that has taken the lock in the meantime.
 * @param {string} root folder of the clone
 * @param {{ waitMs?: number }} [options]
 * @returns {Promise<{ join(pid: number): void, leave(pid: number): void }>} `join` shares the turn with a child process, which keeps it
 * even if this process is killed; `leave` ends the sharing
 * @throws {Error} if another process still has the turn after `waitMs`
 */
export async function takeTurn(root, { waitMs = longestMs } = {}) {
  const work = workFolder(root);
  const lock = join(work, 'lock');
  const shared = namesIn(lock);
  if (![process.ppid, process.pid].some((pid) => shared.includes(String(pid)))) {
    await take(work, lock, waitMs);
    process.on('exit', () => {
      rmSync(join(lock, String(process.pid)), { force: true });
      removeEmpty(lock);
    });
    removeAbandoned(work);
  }
  return {
    join: (pid) => writeFileSync(join(lock, String(pid)), ''),
    leave: (pid) => rmSync(join(lock, String(pid)), { force: true }),
  };
}

async function take(work, lock, waitMs) {
  const prepared = join(work, `lock-${process.pid}`);
  mkdirSync(prepared, { recursive: true });
  writeFileSync(join(prepared, String(process.pid)), '');
  const until = Date.now() + waitMs;
  try {
    for (let told = false; !tryRename(prepared, lock); await delay(pollMs)) {
      const found = namesIn(lock);
      const living = found.find((pid) => isAlive(Number(pid)));
      if (Date.now() > until)
        throw new Error(
          `Process ${living ?? found} has been installing or building here for longer than ${Math.round(waitMs / 1000)} s.\n` +
            `If it hangs, stop it and repeat. If it is not part of aiot, remove ${lock} and repeat.`,
        );
      if (living === undefined) {
        for (const pid of found) rmSync(join(lock, pid), { force: true });
        removeEmpty(lock);
      } else if (!told) {
        process.stderr.write(`Waiting for process ${living}, which is installing or building here …\n`);
        told = true;
      }
    }
  } finally {
    rmSync(prepared, { recursive: true, force: true });
  }
}

/** Error codes for an existing target. EPERM occurs on Windows. */
const occupied = ['ENOTEMPTY', 'EEXIST', 'EPERM'];

function tryRename(from, to) {
  try {
    renameSync(from, to);
    return true;
  } catch (error) {
    if (occupied.includes(error.code)) return false;
    throw error;
  }
}

function namesIn(folder) {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (error.code === 'ENOENT') return [];
    throw error;
  }
}

/** Removes a folder if it is empty. Another process may have taken the lock or removed the folder in the meantime. */
function removeEmpty(folder) {
  try {
    rmdirSync(folder);
  } catch (error) {
    if (!['ENOENT', ...occupied].includes(error.code)) throw error;
  }
}

/** Removes unfinished builds and prepared locks of processes that were killed. */
function removeAbandoned(work) {
  for (const name of namesIn(work)) {
    const [, pid] = /^\w+-(\d+)$/.exec(name) ?? [];
    if (pid !== undefined && !isAlive(Number(pid)))
      rmSync(join(work, name), { recursive: true, force: true });
  }
}

/** Whether the process exists. A file with this process's own ID was left by an earlier process. */
function isAlive(pid) {
  if (pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return !isZombie(pid);
  } catch (error) {
    // The process exists, but belongs to another user.
    return error.code === 'EPERM';
  }
}

/**
 * Whether the process has ended but its parent has not read its exit code, for example in a container without an init process. Always false
 * on systems other than Linux.
 */
function isZombie(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.charAt(stat.lastIndexOf(')') + 2) === 'Z';
  } catch {
    return false;
  }
}
