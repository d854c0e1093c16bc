import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { readJson, writeJsonAtomic } from '../../core/files.js';
import { dataFolder } from '../../core/folders.js';
import { type Clock, systemClock } from '../../core/time.js';
import { withBoard } from '../board.js';
import { resetBoard } from '../loader/reset.js';
import type { Loader, Region } from '../loader/types.js';
import type { SerialLine } from '../port/line.js';
import { openLine } from '../port/open-line.js';
import type { FlashBoardOptions } from './flash-board.js';
import type { Switched } from './result.js';

export interface JudgeOptions extends FlashBoardOptions {
  /** Listens to the restarted board; without it nobody judges what it runs. */
  watch?: ((port: string) => Promise<Verdict>) | undefined;
}

interface Judged {
  mac: string;
  kind: UnprovenKind;
  /** Whether the board can be brought into its loader without hands. */
  canReset: boolean;
  /** Writes the choice before. */
  restore: (loader: Loader) => Promise<unknown>;
}

/** Where somebody has to hold BOOT, the first time may be too short. */
const triesByHand = 2;

/**
 * Watches a board that was switched to another slot, and sets it back when it is not well; `switched` tells what came of
 * it, also when it could not be set back.
 * @throws the signal's reason
 */
export async function judgeSwitched(
  switched: Switched,
  judged: Judged,
  options: JudgeOptions,
): Promise<void> {
  const { watch, port } = options;
  if (!watch) return;
  const verdict = await watch(port).catch((error: unknown): Verdict => {
    if (!isOutside(error)) throw error;
    return { healthy: false, reason: `it could not be watched: ${error.message}` };
  });
  Object.assign(switched, verdict);
  if (!verdict.healthy) {
    const failure = await setBack(switched, judged, options);
    switched.restored = failure === null;
    if (failure) switched.reason = `${verdict.reason} (setting back: ${failure.message})`;
  }
  if (verdict.healthy || switched.restored) await forgetUnproven(judged);
}

async function setBack(
  { before }: Switched,
  { canReset, restore }: Judged,
  options: JudgeOptions,
): Promise<AiotError | null> {
  const { port, ask } = options;
  for (let left = canReset ? 1 : triesByHand; ; left--) {
    if (!canReset) ask?.(`hold BOOT and press RESET on the board at ${port}: ${before} is to be set back`);
    try {
      await withBoard(options, restore);
      return null;
    } catch (error) {
      if (!isOutside(error)) throw error;
      if (left <= 1) return error;
    }
  }
}

/** Cable and chip; neither a defect nor somebody who stops it. */
function isOutside(error: unknown): error is AiotError {
  return error instanceof AiotError && error.code !== 'AIOT_INTERRUPTED';
}

/** A board that was watched and is not well; null of every other one. */
export function unhealthy({ port, switched }: { port: string; switched: Switched | null }): AiotError | null {
  if (switched?.healthy !== false) return null;
  const { slot, before, restored, reason, back } = switched;
  if (restored) return new AiotError('AIOT_FLASH_UNHEALTHY', `${slot} did not come up healthy: ${reason}`);
  const message = `${slot} did not come up healthy, was the choice and was NOT set back to ${before}: ${reason}`;
  const repeat = 'repeat the update: it sets that back before it writes';
  const next = `Hold BOOT, press RESET, then ${back === null ? repeat : `${back} --port ${port}; or ${repeat}`}`;
  return new AiotError('AIOT_FLASH_UNHEALTHY', message, { next });
}

const base64Bytes = z.base64().transform((text): Uint8Array => Buffer.from(text, 'base64'));

const unprovenSchema = z.object({
  slot: z.string(),
  before: z.string(),
  /** What was written into the slot. */
  image: z.object({ offset: z.int(), bytes: z.int(), md5: z.string() }),
  /** The sectors that choose the slot, as they were and as they are since. */
  choice: z.array(z.object({ name: z.string(), offset: z.int(), before: base64Bytes, now: base64Bytes })),
});

/**
 * A choice that is being watched, or was found bad and could not be set back. It is kept on this machine by the board's
 * MAC: otadata alone does not tell a slot that was never seen to work from one that did, and the next update would take
 * the slot that works.
 */
type Unproven = z.output<typeof unprovenSchema>;

type UnprovenKind = 'app' | 'model';

type Who = { mac: string; kind: UnprovenKind };

const unprovenFile = ({ mac, kind }: Who) =>
  join(dataFolder(), 'unproven', `${mac.replaceAll(':', '')}-${kind}.json`);

/** Best effort: a folder that cannot be written must not keep anybody from an update. */
export async function rememberUnproven(who: Who, { choice, ...rest }: Unproven): Promise<void> {
  const text = (data: Uint8Array) => Buffer.from(data).toString('base64');
  const sectors = choice.map(({ before, now, ...place }) => ({
    ...place,
    before: text(before),
    now: text(now),
  }));
  await writeJsonAtomic(unprovenFile(who), { ...rest, choice: sectors }).catch(unlessDefect);
}

async function forgetUnproven(who: Who): Promise<void> {
  await rm(unprovenFile(who), { force: true }).catch(() => {});
}

/**
 * Sets back what an earlier run left chosen without having seen it work, so that what comes next takes that slot and not
 * the one that works. Nothing is done where the board is no more as that run left it.
 * @returns what was done, for people; null = nothing
 */
export async function settleUnproven(loader: Loader, kind: UnprovenKind): Promise<string | null> {
  const who = { mac: loader.chip.mac, kind };
  const parsed = unprovenSchema.safeParse(await readJson(unprovenFile(who)).catch(unlessDefect));
  if (!parsed.success) return null;
  const { slot, before, image, choice } = parsed.data;
  const region = (data: 'before' | 'now') =>
    choice.map((sector): Region => ({ name: sector.name, offset: sector.offset, data: sector[data] }));
  let same = (await loader.md5(image.offset, image.bytes)) === image.md5;
  for (const sector of region('now')) same &&= await loader.matches(sector);
  if (same) await loader.write(region('before'), { skipEqual: false });
  await forgetUnproven(who);
  if (!same) return null;
  return `${slot} was chosen by an earlier update and never seen to work: ${before} was set back first`;
}

function unlessDefect(error: unknown): void {
  if (!(error instanceof AiotError)) throw error;
}

/** Speed of a program's log unless its firmware was built for another one. */
const logBaud = 115_200;

interface WatchBoardOptions {
  timeoutMs: number;
  pattern: RegExp | null;
  signal?: AbortSignal | undefined;
  /** Told to press RESET where the line cannot. */
  ask?: ((text: string) => void) | undefined;
}

/**
 * Restarts the board at a port, where the line can, and judges what it says.
 * @throws AIOT_SERIAL_…, the signal's reason
 */
export async function watchBoard(port: string, options: WatchBoardOptions): Promise<Verdict> {
  const { signal } = options;
  const line = await openLine(port, { baud: logBaud, ...(signal && { signal }) });
  try {
    const restart = async () => {
      if (line.hasControlLines) await resetBoard(line, 'hard-reset');
      else
        options.ask?.(`press RESET on the board at ${port}: it is watched for ${options.timeoutMs / 1000} s`);
    };
    return await watchLine(line, { ...options, clock: systemClock, restart });
  } finally {
    await line.close();
  }
}

interface WatchOptions {
  /** How long at most. */
  timeoutMs: number;
  /** What a healthy start says; null = any start without a fault. */
  pattern: RegExp | null;
  clock: Clock;
  signal?: AbortSignal | undefined;
  /** Begins once somebody listens: the reset whose boot text is judged. */
  restart?: () => Promise<unknown>;
}

/** Listens to a board until it shows whether it is well, at most `timeoutMs`. @throws the signal's reason, AIOT_SERIAL_LOST */
async function watchLine(line: SerialLine, options: WatchOptions): Promise<Verdict> {
  const { timeoutMs, pattern, clock, signal, restart } = options;
  const watch = watchHealth(pattern);
  const decoder = new TextDecoder();
  const over = new AbortController();
  let leave = () => {};
  try {
    const told = new Promise<Verdict>((resolve, reject) => {
      leave = line.listen({
        data: (bytes) => {
          try {
            const verdict = watch.feed(decoder.decode(bytes, { stream: true }));
            if (verdict) resolve(verdict);
          } catch (error) {
            reject(error);
          }
        },
        closed: (error) => {
          if (error) reject(error);
        },
      });
    });
    const stop = signal ? AbortSignal.any([signal, over.signal]) : over.signal;
    const timed = clock.sleep(timeoutMs, stop).then(
      () => watch.end(timeoutMs),
      (reason: unknown) => {
        signal?.throwIfAborted();
        throw reason;
      },
    );
    // Nobody waits for the one that comes second.
    told.catch(() => {});
    timed.catch(() => {});
    await restart?.();
    return await Promise.race([told, timed]);
  } finally {
    over.abort();
    leave();
  }
}

/** What a watch of the boot text has come to. */
export interface Verdict {
  healthy: boolean;
  /** What showed it, one line. */
  reason: string;
}

interface HealthWatch {
  /** Text as it comes from the board, in any pieces. A verdict once there is one. */
  feed(text: string): Verdict | null;
  /** When the time is over. */
  end(ms: number): Verdict;
}

/** Sources: ESP-IDF's panic handler and second-stage bootloader, and the ROMs' boot text. */
const failures: [RegExp, string][] = [
  [/Guru Meditation Error[^\r\n]*/, 'it crashed'],
  [/abort\(\) was called[^\r\n]*/, 'it aborted'],
  [/assert failed:[^\r\n]*/, 'an assertion failed'],
  [/Brownout detector was triggered/, 'its supply dips'],
  [/(?:image|partition)[^\r\n]*(?:corrupted|hash failed|checksum failed)[^\r\n]*/i, 'its image is damaged'],
  [/No bootable app partitions[^\r\n]*/, 'it finds nothing to start'],
  [/invalid header: 0x[0-9a-f]+/, 'it finds nothing to start'],
  [/(?:csum err|flash read err)[^\r\n]*/, 'it cannot read its flash'],
  [/secure boot verification failed[^\r\n]*/i, 'its signature is refused'],
  [/[^\r\n]*(?:is not bootable|Bootloader for wrong chip)[^\r\n]*/i, 'the bootloader refuses it'],
];

/** A ROM's first words at each start, with the reason: `rst:0x1 (POWERON_RESET)`. */
const bootBanner = /rst:0x[0-9a-f]+ \((\w+)\)/g;

/** Reasons of a reset from outside: the EN pin (which a ROM tells as power), or the chip's own USB. */
const byHand = /^(POWERON|USB_UART_CHIP|EXT)/;

/** An unfinished line that long is no log any more. */
const longestTail = 4096;

/**
 * Judges a board by what it says after a restart. With a pattern it is healthy when that comes; without one, when it has
 * said something and neither failed nor restarted in the time.
 */
export function watchHealth(pattern: RegExp | null): HealthWatch {
  let tail = '';
  let heard = false;
  let boots = 0;
  return {
    feed(text) {
      heard ||= text !== '';
      const all = tail + text;
      // Only whole lines: half a banner, or half a pattern, comes again with its other half. Of a rest that grows too
      // long the beginning counts as a line.
      const end = Math.max(all.lastIndexOf('\n') + 1, all.length - longestTail);
      const lines = all.slice(0, end);
      tail = all.slice(end);
      for (const [failure, what] of failures) {
        const [found] = failure.exec(lines) ?? [];
        if (found !== undefined) return { healthy: false, reason: `${what}: ${found.trim()}` };
      }
      for (const [, reason] of lines.matchAll(bootBanner)) {
        boots++;
        if (boots > 1 && !byHand.test(reason ?? ''))
          return { healthy: false, reason: `it restarted by itself: ${reason}` };
      }
      const [wanted] = pattern?.exec(all) ?? [];
      return wanted === undefined ? null : { healthy: true, reason: `it said: ${wanted.trim()}` };
    },
    end(ms) {
      const time = `${ms / 1000} s`;
      if (!heard) return { healthy: false, reason: `nothing was heard of it in ${time}` };
      if (pattern) return { healthy: false, reason: `${pattern} did not come in ${time}` };
      return { healthy: true, reason: `it ran ${time} without a fault` };
    },
  };
}
