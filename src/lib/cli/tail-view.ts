import { AiotError, size } from '../core/index.js';
import {
  createStatistics,
  decoderFor,
  fieldReader,
  type PrinterOptions,
  printerFor,
  type Shown,
  type TailEnd,
  type TailProgress,
} from '../stream/index.js';
import { LivePlot } from './live-plot.js';
import { messageText, streamStatisticsText } from './render/message.js';
import { thumbnail } from './render/thumbnail.js';
import { timeOfDay } from './render/time.js';

export interface TailViewOptions extends Omit<PrinterOptions, 'pretty'> {
  json: boolean;
  /** Several sources in one view: each line says where it is from. */
  several: boolean;
  rate: boolean;
  stats: boolean;
  plot?: readonly string[];
  stdout: NodeJS.WriteStream;
  /** Writes to stdout; a promise where it is to be waited for. */
  write: (text: string | Uint8Array) => void | Promise<void>;
}

/** What `stream tail` shows: messages, or instead of them rates, a plot, or counts at the end. */
export interface TailView {
  show(batch: readonly Shown[]): void | Promise<void>;
  /** Instead of `show`, where payloads are all that is shown: these, each followed by a line feed. */
  lines?(lines: Uint8Array): void | Promise<void>;
  /** Once a second. */
  progress?(progress: TailProgress): void;
  /** The value to return, where there is one at the end. */
  end(end: TailEnd): unknown;
}

/** @throws AIOT_USAGE (views that do not go together), AIOT_STREAM_EXPRESSION */
export async function createTailView(options: TailViewOptions): Promise<TailView> {
  const { rate, stats, plot, write } = options;
  if ([rate, stats, plot !== undefined].filter(Boolean).length > 1) {
    throw new AiotError('AIOT_USAGE', 'expected one of --rate, --stats and --plot, got several');
  }
  if (rate) return rateView(options);
  if (stats) return statsView(options);
  if (plot) return plotView(options, plot);
  const pictures = options.decode === 'image' && options.terminal;
  const pretty = pictures
    ? async (batch: readonly Shown[]) =>
        (
          await Promise.all(
            batch.map(async (shown) => `${prettyLine(shown)}${await thumbnail(shown.message.payload)}`),
          )
        ).join('')
    : (batch: readonly Shown[]) => batch.map(prettyLine).join('');
  const prettyLine = (shown: Shown) => `${messageText(shown, options.several)}\n`;
  const print = await printerFor({ ...options, pretty });
  return {
    show(batch) {
      const text = print(batch);
      return text instanceof Promise ? text.then(write) : write(text);
    },
    ...(options.format === 'raw' && !options.terminal && !options.json ? { lines: write } : {}),
    end: () => undefined,
  };
}

function rateView({ json, write }: TailViewOptions): TailView {
  let bytes = 0;
  let before = { seen: 0, dropped: 0, bytes: 0, at: performance.now() };
  return {
    show(batch) {
      for (const { message } of batch) bytes += message.payload.length;
    },
    progress({ seen, dropped }) {
      const at = performance.now();
      const seconds = (at - before.at) / 1000;
      const line = {
        time: Date.now(),
        messages: seen,
        rate: (seen - before.seen) / seconds,
        byteRate: (bytes - before.bytes) / seconds,
        dropped,
      };
      before = { seen, dropped, bytes, at };
      const lost = dropped > 0 ? `  ${dropped} dropped` : '';
      const text = `${timeOfDay(line.time)}  ${Math.round(line.rate)} messages/s  ${size(Math.round(line.byteRate))}/s  ${seen} in all${lost}`;
      void write(`${json ? JSON.stringify(line) : text}\n`);
    },
    end: () => undefined,
  };
}

async function statsView({ json, write }: TailViewOptions): Promise<TailView> {
  const statistics = createStatistics(await decoderFor('auto'));
  return {
    show: (batch) => statistics.add(batch),
    async end({ dropped }) {
      const result = statistics.result(dropped);
      if (!json) await write(`${streamStatisticsText(result)}\n`);
      return result;
    },
  };
}

async function plotView(
  { stdout, write, json }: TailViewOptions,
  fields: readonly string[],
): Promise<TailView> {
  if (json) throw new AiotError('AIOT_USAGE', '--plot is for people; with --json use --fields or --stats');
  const { columns, rows = 24, isTTY } = stdout;
  const plot = new LivePlot({ columns: isTTY ? columns : null, rows, write: (text) => void write(text) });
  const read = fieldReader(fields);
  const decode = await decoderFor('auto');
  return {
    show(batch) {
      for (const shown of batch) {
        const { value } = shown;
        const found = Object.entries(read(shown.message, value === undefined ? decode : () => value));
        const numbers = found.filter((pair): pair is [string, number] => typeof pair[1] === 'number');
        if (numbers.length > 0) plot.add(Object.fromEntries(numbers));
      }
    },
    end: () => plot.end(),
  };
}
