import { AiotError } from '../../core/errors.js';
import { plural, size, thousands } from '../../core/figures.js';
import { jsonLine, printable, printablePayload, shellWord } from '../../core/text.js';
import { decoderFor } from '../../stream/decode/decoder.js';
import { type Header, mqttHeaders } from '../../stream/message.js';
import {
  missingSentences,
  missingTextSentences,
  type TailSummary,
} from '../../stream/tail/missing-fields.js';
import { type PrinterOptions, printerFor } from '../../stream/tail/print.js';
import { createStatistics } from '../../stream/tail/statistics.js';
import {
  bytesOf,
  fieldReader,
  type Shown,
  type TailEnd,
  type TailOutput,
  type TailProgress,
} from '../../stream/tail/tail.js';
import { pictureText, sparkline } from '../render/chart.js';
import { streamStatisticsText } from '../render/streams.js';
import { colored, cyan, dim, drawsOver, forTerminal, timeOfDay } from '../render/text.js';
import { LivePlot, screenOf } from './plot.js';

interface TailViewOptions extends Omit<PrinterOptions, 'pretty'> {
  json: boolean;
  /** Whether there are several sources. Each line then contains the name of its source. */
  several: boolean;
  rate: boolean;
  stats: boolean;
  plot?: readonly string[];
  stdout: NodeJS.WriteStream;
  /** Writes to stdout; returns a promise if the caller must wait. */
  write: (text: string | Uint8Array) => void | Promise<void>;
}

/** Output of `stream tail`: messages or, instead of them, rates, a plot, or final statistics. */
interface TailView extends TailOutput {
  /** Called once a second. */
  progress?(progress: TailProgress): void;
  /** The value to return at the end, if any. */
  end(end: TailEnd): unknown;
}

/** @throws AIOT_USAGE (incompatible views), AIOT_STREAM_EXPRESSION */
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
            batch.map(
              async (shown) => `${prettyLine(shown)}${forTerminal(await thumbnail(shown.message.payload))}`,
            ),
          )
        ).join('')
    : (batch: readonly Shown[]) => batch.map(prettyLine).join('');
  const prettyLine = (shown: Shown) => forTerminal(`${messageText(shown, options.several)}\n`);
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

/** Seconds after which `stream tail` reports that no message has arrived. */
const silentSeconds = 10;

/** How to list all topics of a broker, by the beginning of its address. */
const everything: readonly (readonly [scheme: RegExp, rest: string])[] = [
  [/^(?:mqtts?|wss?|aiot):/, '/#'],
  [/^natss?:/, '/>'],
  [/^kafkas?:/, ''],
];

/**
 * A function to call once a second. If nothing has arrived for a while, it tells once how to see where messages arrive, because a mistyped
 * topic looks like a silent one.
 */
export function silenceNote(address: string, note: (text: string) => void): (progress: TailProgress) => void {
  let seconds = 0;
  return ({ seen }) => {
    if (seen > 0) seconds = Number.NaN;
    else if (++seconds === silentSeconds) {
      const rest = everything.find(([scheme]) => scheme.test(address))?.[1];
      // Without a user and password.
      const [, scheme = '', host = ''] = /^([a-z-]+:\/\/)(?:[^@/]*@)?([^/?]*)/.exec(address) ?? [];
      const hint =
        rest === undefined
          ? ''
          : `. To list the topics with messages, run \`aiot stream list ${shellWord(`${scheme}${host}${rest}`)}\``;
      note(`No message has arrived in ${silentSeconds} seconds${hint}.`);
    }
  };
}

interface TailChecks {
  where: string | undefined;
  never: string | undefined;
}

/** How a tail ended: the number of messages, and warnings about what was not checked or not shown. */
export function tailNotes(end: TailEnd, { where, never }: TailChecks): { note: string; cautions: string[] } {
  const { seen, checked, messages, dropped, failed, first, ended } = end;
  const came = plural(never === undefined && where === undefined ? messages : seen, 'message');
  const matched = where === undefined ? came : `${thousands(messages)} of ${came} matched`;
  const examined = where === undefined ? came : `${thousands(checked)} of ${came}`;
  const count = never === undefined ? matched : `${examined} checked, none matched ${never}`;
  const lost = dropped > 0 ? `, ${thousands(dropped)} dropped` : '';
  const cautions = [...missingCautions(end), ...missingTextSentences(end)];
  if (never !== undefined && checked === 0) {
    const why = seen === 0 ? 'no message arrived' : 'no message matched --where';
    cautions.push(`${why}, so --never checked nothing; to fail then, use --expect`);
  }
  // Such as `temperature > 80` for a message that contains several samples of each field.
  const arrays = /must evaluate to numeric/.test(first ?? '')
    ? '. If messages contain several samples of a field, compare $max(FIELD), $min(FIELD) or $average(FIELD)'
    : '';
  if (failed > 0) cautions.push(`${plural(failed, 'message')} left out: ${first}${arrays}`);
  return { note: `${ended === 'interrupted' ? 'stopped after ' : ''}${count}${lost}`, cautions };
}

/** A warning for each field that a flag uses but no message contained. */
export function missingCautions(end: Pick<TailEnd, 'missing' | 'seen'>): string[] {
  return missingSentences(end).map(
    (sentence) =>
      `${sentence}. Check its name${sentence.startsWith('--fields') ? '' : '; text in an expression needs quotes'}`,
  );
}

/** The last line of `--json`, printed with `--never` or if a field is missing. */
export function tailSummary(
  { seen, checked, messages: matched, missing }: TailEnd,
  never: string | undefined,
): TailSummary | undefined {
  if (never === undefined && missing.length === 0) return undefined;
  return { seen, checked, matched, missingFields: [...missing] };
}

/** One line: time, source (if there are several), topic, key, payload, headers. */
function messageText(shown: Shown, several: boolean): string {
  const { message } = shown;
  const parts = [
    dim(timeOfDay(message.time)),
    ...(several ? [dim(message.source)] : []),
    cyan(printable(message.topic)),
  ];
  if (message.key) parts.push(dim(printablePayload(message.key)));
  parts.push(message.tombstone ? dim('(deleted)') : payloadText(shown));
  const headers = headersText(message.headers);
  if (headers !== '') parts.push(dim(headers));
  return parts.join('  ');
}

/** Maximum length of a displayed header value, characters. `--json` contains the whole value. */
const longestValue = 60;

/** Headers as text, such as `{unit=C, room=12}`. */
function headersText(headers: readonly Header[] = []): string {
  const shown = headers
    // This header only states that the payload is text, which the output shows anyway.
    .filter(([name]) => name !== mqttHeaders.payloadFormatIndicator)
    .map(([name, value]) => {
      const text = printablePayload(typeof value === 'string' ? Buffer.from(value) : value);
      return `${printable(name)}=${text.length > longestValue ? `${text.slice(0, longestValue)}…` : text}`;
    });
  return shown.length === 0 ? '' : `{${shown.join(', ')}}`;
}

/** The payload as text, without the trailing NUL of a C string. */
function payloadText(shown: Shown): string {
  const bytes = bytesOf(shown);
  let length = bytes.length;
  while (length > 0 && bytes[length - 1] === 0) length--;
  return shortened(withoutNoise(printablePayload(length === 0 ? bytes : bytes.subarray(0, length))));
}

/** Maximum length of a displayed key, signature or other encoded value, characters. `--json` contains the whole value. */
const longestCode = 80;

/** Number of displayed items of a longer list of numbers. */
const shownItems = 5;

/** A string in JSON, or a list of more than 20 numbers. */
const stringOrLongList = /"(?:[^"\\]|\\.)*"|\[(?:[-+.\deE]+,){20,}[-+.\deE]+\]/g;

/** JSON with shortened lists of numbers, such as samples, and strings without spaces, such as keys, signatures and files. */
function shortened(text: string): string {
  if (text.length <= longestCode || !/^[[{]/.test(text)) return text;
  return text.replace(stringOrLongList, (part) => {
    if (part.startsWith('"'))
      return part.length - 2 > longestCode && !/\s/.test(part) ? `${part.slice(0, 25)}…"` : part;
    const items = part.slice(1, -1).split(',');
    return `[${items.slice(0, shownItems).join(',')},… ${items.length} numbers]`;
  });
}

/** A string in JSON, or a number with so many decimals that the last ones are noise of binary fractions. */
const stringOrLongNumber = /"(?:[^"\\]|\\.)*"|-?\d+\.\d{10,}(?:e[-+]?\d+)?/gi;

/** JSON with such numbers rounded to nine significant digits: 0.23420000000000002 becomes 0.2342. */
function withoutNoise(text: string): string {
  if (!/^[[{\d-]/.test(text) || !/\.\d{10}/.test(text)) return text;
  return text.replace(stringOrLongNumber, (part) =>
    part.startsWith('"') ? part : String(Number(Number(part).toPrecision(9))),
  );
}

/** Number of recent seconds for which rates are drawn. */
const paceRoom = 24;

/** Messages per second, as a number and as a row of bars of the recent values. */
function createPace() {
  const recent: number[] = [];
  let before = { seen: 0, at: performance.now() };
  return (seen: number) => {
    const at = performance.now();
    const rate = (seen - before.seen) / ((at - before.at) / 1000);
    before = { seen, at };
    recent.push(rate);
    if (recent.length > paceRoom) recent.shift();
    return { rate, course: cyan(sparkline(recent)) };
  };
}

function rateView({ json, write, stdout }: TailViewOptions): TailView {
  const pace = createPace();
  let bytes = 0;
  let before = { bytes: 0, at: performance.now() };
  return {
    show(batch) {
      for (const { message } of batch) bytes += message.payload.length;
    },
    progress({ seen, dropped }) {
      const at = performance.now();
      const { rate, course } = pace(seen);
      const byteRate = (bytes - before.bytes) / ((at - before.at) / 1000);
      before = { bytes, at };
      const line = { time: Date.now(), messages: seen, rate, byteRate, dropped };
      const lost = dropped > 0 ? `  ${dropped} dropped` : '';
      const drawn = drawsOver(stdout) ? `  ${course}` : '';
      const text = `${timeOfDay(line.time)}  ${Math.round(rate)} messages/s  ${size(Math.round(byteRate))}/s  ${seen} total${lost}${drawn}`;
      void write(`${json ? jsonLine(line) : forTerminal(text)}\n`);
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
      if (!json) await write(forTerminal(`${streamStatisticsText(result)}\n`));
      return result;
    },
  };
}

async function plotView(
  { stdout, write, json }: TailViewOptions,
  fields: readonly string[],
): Promise<TailView> {
  if (json)
    throw new AiotError('AIOT_USAGE', '--plot cannot be combined with --json: use --fields or --stats');
  const plot = new LivePlot(screenOf(stdout, (text) => void write(text)));
  const pace = createPace();
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
    progress({ seen, dropped }) {
      const lost = dropped > 0 ? `, ${dropped} dropped` : '';
      const { rate, course } = pace(seen);
      plot.heading(`${dim(`${Math.round(rate)} messages/s, ${seen} total${lost}`)}  ${course}`);
    },
    end: () => plot.end(),
  };
}

/** Width of a thumbnail in characters, which is also its longer side in pixels. */
const columns = 48;

/** A picture as a few lines of a terminal; empty if it is not a picture, or there are no colors. */
async function thumbnail(bytes: Uint8Array): Promise<string> {
  if (!colored()) return '';
  const { cropGray, decodePicture, shrinkGray } = await import('../../vision/index.js');
  try {
    const picture = await decodePicture(bytes, 'a payload');
    const whole = { x: 0, y: 0, width: picture.width, height: picture.height };
    const text = pictureText(shrinkGray(cropGray(picture, whole), columns), columns);
    return text === undefined ? '' : `${text}\n`;
  } catch {
    // The line above already shows that the payload is not a picture.
    return '';
  }
}
