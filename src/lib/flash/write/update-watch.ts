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
import { returnMs } from '../port/returning-line.js';
import type { FlashBoardOptions } from './flash-board.js';
import { type Switched, toPrevious } from './result.js';

export interface JudgeOptions extends FlashBoardOptions {
  /** Watches the restarted board; absent = its health is not checked. */
  watch?: ((port: string) => Promise<Verdict>) | undefined;
}

interface Judged {
  mac: string;
  kind: SwitchKind;
  /** Whether the board can enter its loader without the user's help. */
  canReset: boolean;
  /** Restores the previous selection. */
  restore: (loader: Loader) => Promise<unknown>;
}

/** Number of attempts if the user has to hold BOOT. The first one may end before the user has done so. */
const triesByHand = 2;

/**
 * Watches a board that was switched to another slot, and restores it if it is unhealthy. `switched` contains the result, even if the
 * board could not be restored.
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
    return { healthy: false, reason: `its startup could not be monitored: ${error.message}` };
  });
  Object.assign(switched, verdict);
  if (!verdict.healthy) {
    const failure = await restorePrevious(switched, judged, options);
    switched.restored = failure === null;
    if (failure) switched.reason = `${verdict.reason} (revert failed: ${failure.message})`;
  }
  if (verdict.healthy || switched.restored) await deletePendingSwitch(judged);
}

async function restorePrevious(
  { before }: Switched,
  { canReset, restore }: Judged,
  options: JudgeOptions,
): Promise<AiotError | null> {
  const { port, ask } = options;
  for (let left = canReset ? 1 : triesByHand; ; left--) {
    if (!canReset)
      ask?.(`hold BOOT and press RESET on the board at ${port} to revert it${toPrevious(before)}`);
    try {
      await withBoard(options, restore);
      return null;
    } catch (error) {
      if (!isOutside(error)) throw error;
      if (left <= 1) return error;
    }
  }
}

/** Whether the error is an expected one, for example from the cable or the chip, and not an internal error or an interruption. */
function isOutside(error: unknown): error is AiotError {
  return error instanceof AiotError && error.code !== 'AIOT_INTERRUPTED';
}

const base64Bytes = z.base64().transform((text): Uint8Array => Buffer.from(text, 'base64'));

const pendingSwitchSchema = z.object({
  slot: z.string(),
  before: z.string(),
  /** The data written to the slot. */
  image: z.object({ offset: z.int(), bytes: z.int(), md5: z.string() }),
  /** The sectors that select the slot, before and after the switch. */
  choice: z.array(z.object({ name: z.string(), offset: z.int(), before: base64Bytes, now: base64Bytes })),
});

/**
 * A selection of another slot that is still being watched, or that was unhealthy and could not be restored. Stored on this machine under
 * the board's MAC, because otadata does not show whether a slot has ever worked, and the next update would overwrite the working slot.
 */
type PendingSwitch = z.output<typeof pendingSwitchSchema>;

type SwitchKind = 'app' | 'model';

type Who = { mac: string; kind: SwitchKind };

const pendingSwitchFile = ({ mac, kind }: Who) =>
  join(dataFolder(), 'unproven', `${mac.replaceAll(':', '')}-${kind}.json`);

/** Records a pending switch if possible. An unwritable folder must not prevent an update. */
export async function recordPendingSwitch(who: Who, { choice, ...rest }: PendingSwitch): Promise<void> {
  const text = (data: Uint8Array) => Buffer.from(data).toString('base64');
  const sectors = choice.map(({ before, now, ...place }) => ({
    ...place,
    before: text(before),
    now: text(now),
  }));
  await writeJsonAtomic(pendingSwitchFile(who), { ...rest, choice: sectors }).catch(unlessDefect);
}

async function deletePendingSwitch(who: Who): Promise<void> {
  await rm(pendingSwitchFile(who), { force: true }).catch(() => {});
}

/**
 * Restores the selection if an earlier run ended before the slot was seen to work. The next update then overwrites that slot, not the
 * working one. Does nothing if the board has changed since.
 * @returns a human-readable description; null = nothing done
 */
export async function settlePendingSwitch(loader: Loader, kind: SwitchKind): Promise<string | null> {
  const who = { mac: loader.chip.mac, kind };
  const parsed = pendingSwitchSchema.safeParse(await readJson(pendingSwitchFile(who)).catch(unlessDefect));
  if (!parsed.success) return null;
  const { slot, before, image, choice } = parsed.data;
  const region = (data: 'before' | 'now') =>
    choice.map((sector): Region => ({ name: sector.name, offset: sector.offset, data: sector[data] }));
  let same = (await loader.md5(image.offset, image.bytes)) === image.md5;
  for (const sector of region('now')) same &&= await loader.matches(sector);
  if (same) await loader.write(region('before'), { skipEqual: false });
  await deletePendingSwitch(who);
  if (!same) return null;
  return `${slot} was selected by an earlier update and never proved healthy, so ${before} was selected again first`;
}

function unlessDefect(error: unknown): void {
  if (!(error instanceof AiotError)) throw error;
}

/** Default speed of a program's log. */
const logBaud = 115_200;

interface WatchBoardOptions {
  timeoutMs: number;
  pattern: RegExp | null;
  signal?: AbortSignal | undefined;
  /** Called to ask the user to press RESET, if the line cannot reset the board. */
  ask?: ((text: string) => void) | undefined;
}

/**
 * Restarts the board at a port, if the line allows it, and evaluates the output.
 * @throws AIOT_SERIAL_…, the signal's reason
 */
export async function watchBoard(port: string, options: WatchBoardOptions): Promise<Verdict> {
  const { signal } = options;
  const line = await openLine(port, { baud: logBaud, returnMs, ...(signal && { signal }) });
  try {
    const restart = async () => {
      if (line.hasControlLines) await resetBoard(line, 'hard-reset');
      else
        options.ask?.(
          `press RESET on the board at ${port}; it is monitored for ${options.timeoutMs / 1000} s`,
        );
    };
    return await watchLine(line, { ...options, clock: systemClock, restart });
  } finally {
    await line.close();
  }
}

interface WatchOptions {
  /** Time limit, ms. */
  timeoutMs: number;
  /** Pattern of the output of a healthy start; null = any start without a failure. */
  pattern: RegExp | null;
  clock: Clock;
  signal?: AbortSignal | undefined;
  /** Resets the board. Called once the watch, which evaluates the boot text, is listening. */
  restart?: () => Promise<unknown>;
}

/** Listens to a board until its health is certain, for at most `timeoutMs`. @throws the signal's reason, AIOT_SERIAL_LOST */
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
    // The promise that loses the race may be rejected later, and nothing else would handle the rejection.
    told.catch(() => {});
    timed.catch(() => {});
    await restart?.();
    return await Promise.race([told, timed]);
  } finally {
    over.abort();
    leave();
  }
}

/** Result of watching the boot text. */
export interface Verdict {
  healthy: boolean;
  /** The evidence for the verdict, in one line. */
  reason: string;
}

interface HealthWatch {
  /** Accepts the board's text in chunks of any size. Returns the verdict once there is one. */
  feed(text: string): Verdict | null;
  /** Returns the verdict at the timeout. */
  end(ms: number): Verdict;
}

/** Patterns of failures. Sources: ESP-IDF's panic handler and second-stage bootloader, and the ROMs' boot text. */
const failures: [RegExp, string][] = [
  [/Guru Meditation Error[^\r\n]*/, 'it crashed'],
  [/abort\(\) was called[^\r\n]*/, 'it aborted'],
  [/assert failed:[^\r\n]*/, 'an assertion failed'],
  [/Brownout detector was triggered/, 'its supply voltage dropped'],
  [/(?:image|partition)[^\r\n]*(?:corrupted|hash failed|checksum failed)[^\r\n]*/i, 'its image is damaged'],
  [/No bootable app partitions[^\r\n]*/, 'it found no bootable program'],
  [/invalid header: 0x[0-9a-f]+/, 'it found no bootable program'],
  [/(?:csum err|flash read err)[^\r\n]*/, 'it cannot read its flash'],
  [/secure boot verification failed[^\r\n]*/i, 'its signature was rejected'],
  [/[^\r\n]*(?:is not bootable|Bootloader for wrong chip)[^\r\n]*/i, 'the bootloader rejected it'],
];

/** A ROM's first output at each start, with the cause of the reset: `rst:0x1 (POWERON_RESET)`. */
const bootBanner = /rst:0x[0-9a-f]+ \((\w+)\)/g;

/** Causes of an external reset: the EN pin (which a ROM reports as power-on), or the chip's own USB. */
const byHand = /^(POWERON|USB_UART_CHIP|EXT)/;

/** Maximum length of an unfinished line, characters. Anything longer is not a log line. */
const longestTail = 4096;

/**
 * Evaluates a board's output after a restart. With a pattern, the board is healthy once the pattern matches. Without one, it is healthy
 * if it produces output and neither fails nor restarts within the time.
 */
export function watchHealth(pattern: RegExp | null): HealthWatch {
  let tail = '';
  let heard = false;
  let boots = 0;
  return {
    feed(text) {
      heard ||= text !== '';
      const all = tail + text;
      // Only complete lines are examined, so that a banner or pattern split across chunks is examined as a whole. If the unfinished line
      // grows too long, its start counts as a line.
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
          return { healthy: false, reason: `it restarted unexpectedly: ${reason}` };
      }
      const [wanted] = pattern?.exec(all) ?? [];
      return wanted === undefined
        ? null
        : { healthy: true, reason: `its output contained: ${wanted.trim()}` };
    },
    end(ms) {
      const time = `${ms / 1000} s`;
      if (!heard) return { healthy: false, reason: `it sent no output within ${time}` };
      if (pattern) return { healthy: false, reason: `no output matched ${pattern} within ${time}` };
      return { healthy: true, reason: `it ran for ${time} without a fault` };
    },
  };
}
