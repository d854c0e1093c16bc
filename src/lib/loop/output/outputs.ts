import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { type Clock, systemClock } from '../../core/time.js';
import type { OutgoingMessage, StreamOptions } from '../../stream/message.js';
import { parseStreamUrl } from '../../stream/url.js';
import type { Answer, Outputs } from '../types.js';
import { type Line, openLine } from './line.js';
import { type OutputSettings, outputSettings } from './settings.js';

export interface OutputsOptions {
  /** Addresses of any writable stream; for their settings see `outputSettings`. */
  urls: readonly string[];
  /** Default for outputs without `?when=`. */
  send: 'change' | 'always';
  /** Folder for the spools of unreachable destinations, one subfolder each. */
  spoolFolder: string;
  /** Maximum bytes on disk for each output. */
  spoolLimit: number;
  /** Name of the device, included in each prediction. */
  device: string;
  clock?: Clock;
  /**
   * Called with one line for each event, without credentials: a connection that was lost or restored, or messages that were rejected or
   * dropped.
   */
  onEvent?: (text: string) => void;
  streamOptions?: StreamOptions;
  /** Maximum wait for destinations at startup, ms. After that, the loop starts without them. Default 5 s. */
  startMs?: number;
  /** Maximum wait for one write, ms. After that, its messages go to disk. Default 15 s. */
  writeTimeoutMs?: number;
}

/** Outputs for pictures instead of predictions. Otherwise like `Outputs`. */
export interface MessageOutputs extends Omit<Outputs, 'put'> {
  put(message: OutgoingMessage): void;
}

/**
 * Opens all outputs. Rejects only addresses that no retry fixes. Other problems of a destination are reported as events, and its messages
 * are spooled.
 * @throws AIOT_STREAM_URL, AIOT_STREAM_SCHEME, AIOT_USAGE
 */
export async function openOutputs(options: OutputsOptions): Promise<Outputs> {
  const { all, lines, ...outputs } = await openLines(options);
  return {
    ...outputs,
    put(answer) {
      for (const [index, settings] of all.entries()) {
        const message = messageOf(answer, settings, options.device);
        if (message) lines[index]!.put(message);
      }
    },
  };
}

/** Opens outputs for raw messages, each of which is sent to all outputs. @throws the errors of `openOutputs` */
export async function openMessageOutputs(options: OutputsOptions): Promise<MessageOutputs> {
  const { all: _, lines, ...outputs } = await openLines(options);
  return {
    ...outputs,
    put(message) {
      for (const line of lines) line.put(message);
    },
  };
}

async function openLines(options: OutputsOptions) {
  const { startMs = 5000, onEvent = () => {} } = options;
  const all = options.urls.map((url) => outputSettings(url, options.send));
  const folders = foldersOf(all);
  const lines: Line[] = [];
  try {
    for (const [index, settings] of all.entries()) {
      lines.push(
        await openLine({
          settings,
          spool: join(options.spoolFolder, folders[index]!),
          spoolLimit: options.spoolLimit,
          clock: options.clock ?? systemClock,
          streamOptions: options.streamOptions ?? {},
          onEvent,
          ...(options.writeTimeoutMs === undefined ? {} : { writeTimeoutMs: options.writeTimeoutMs }),
        }),
      );
    }
    await Promise.all(lines.map((line) => firstLook(line, startMs, onEvent)));
  } catch (error) {
    await Promise.allSettled(lines.map((line) => line.close()));
    throw error;
  }
  return {
    all,
    lines,
    settled: async () => {
      await Promise.all(lines.map((line) => line.settled()));
    },
    states: () => lines.map((line) => line.state()),
    close: async () => {
      await Promise.all(lines.map((line) => line.close()));
    },
  };
}

/** Waits for a destination, but no longer than `startMs`. Errors after that are reported as events. */
async function firstLook(line: Line, startMs: number, onEvent: (text: string) => void): Promise<void> {
  let late = false;
  let timer: NodeJS.Timeout | undefined;
  const ready = line.ready().catch((error: unknown) => {
    if (!late) throw error;
    onEvent(`${line.state().endpoint}: ${error instanceof Error ? error.message : String(error)}`);
  });
  const enough = new Promise<void>((resolve) => {
    timer = setTimeout(() => {
      late = true;
      resolve();
    }, startMs);
  });
  await Promise.race([ready, enough]).finally(() => clearTimeout(timer));
}

/**
 * Folder names depend on the addresses and not on their order, so that a spool still belongs to its destination when others are added or
 * removed.
 */
function foldersOf(all: readonly OutputSettings[]): string[] {
  const seen = new Map<string, number>();
  return all.map(({ url, shown }) => {
    const { scheme, path } = parseStreamUrl(url);
    const place = scheme === 'exec' ? path : shown;
    const name = `${scheme}-${createHash('sha256').update(place).digest('hex').slice(0, 12)}`;
    const before = seen.get(name) ?? 0;
    seen.set(name, before + 1);
    return before === 0 ? name : `${name}-${before + 1}`;
  });
}

/**
 * The prediction in this output's format; undefined if its `when` excludes it. @param device name for receivers of several devices'
 * messages
 */
function messageOf(
  answer: Answer,
  { body, when }: Pick<OutputSettings, 'body' | 'when'>,
  device: string,
): OutgoingMessage | undefined {
  if (!isWanted(answer, when)) return undefined;
  const text = body === 'json' ? jsonOf(answer, device) : bareOf(answer);
  return text === undefined ? undefined : { topic: '', payload: Buffer.from(text), time: answer.t };
}

function isWanted({ changed, label, voted, value }: Answer, when: OutputSettings['when']): boolean {
  if (when === 'always') return true;
  // Values are not smoothed, so each one counts as a change.
  if (when === 'change') return changed || (label === null && value !== null);
  return changed && voted === when.label;
}

function bareOf({ label, voted, value }: Answer): string | undefined {
  if (label === null && value !== null) return String(value);
  return voted ?? undefined;
}

function jsonOf(answer: Answer, device: string): string {
  const { t, window, label, voted, scores, value, detections, extra, latencyMs, model } = answer;
  return JSON.stringify({
    t,
    window,
    label,
    voted,
    scores,
    value,
    detections,
    extra,
    latencyMs,
    model,
    device,
  });
}
