import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { type Clock, systemClock } from '../../core/time.js';
import type { OutgoingMessage, StreamOptions } from '../../stream/message.js';
import { parseStreamUrl } from '../../stream/url.js';
import type { Answer, Outputs } from '../types.js';
import { type Line, openLine } from './line.js';
import { type OutputSettings, outputSettings } from './settings.js';

export interface OutputsOptions {
  /** Addresses of any stream that can be written to; `outputSettings` has what may follow them. */
  urls: readonly string[];
  /** For those that do not say `?when=`. */
  send: 'change' | 'always';
  /** What waits for far sides that are not there is kept below it, a folder each. */
  spoolFolder: string;
  /** Most bytes on disk, of each. */
  spoolLimit: number;
  /** Told in each answer. */
  device: string;
  clock?: Clock;
  /** Lost, found again, refused, thrown away: one line each, no credentials in it. */
  onEvent?: (text: string) => void;
  streamOptions?: StreamOptions;
  /** Longest wait for far sides at the start, ms: the loop begins without them then. Default 5 s. */
  startMs?: number;
  /** Longest wait for one write, ms: what was in it goes to disk then. Default 15 s. */
  writeTimeoutMs?: number;
}

/** Where messages go that are no answers: pictures. As `Outputs`. */
export interface MessageOutputs extends Omit<Outputs, 'put'> {
  put(message: OutgoingMessage): void;
}

/**
 * Opens all outputs. Only an address that no time will cure is refused: what else is wrong with a far side is told as an event,
 * and answers for it are kept.
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

/** The same for messages as they are, each to all outputs. @throws what `openOutputs` throws */
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

/** Waits for a far side, but no longer than `startMs`; what it says later is an event. */
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

/** By the address and not by its place in the list: what waits on disk stays its far side's when others come and go. */
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

/** The answer as this output wants it; undefined where it does not want it. @param device its name, for those who hear many */
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
  // A measured value has no vote that could stay the same.
  if (when === 'change') return changed || (label === null && value !== null);
  return changed && voted === when.label;
}

function bareOf({ label, voted, value }: Answer): string | undefined {
  if (label === null && value !== null) return String(value);
  return voted ?? undefined;
}

function jsonOf(answer: Answer, device: string): string {
  const { t, window, label, voted, scores, value, latencyMs, model } = answer;
  return JSON.stringify({ t, window, label, voted, scores, value, latencyMs, model, device });
}
