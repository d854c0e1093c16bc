import { type Signal, useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type { DeviceSeries } from '../../../src/lib/api/index.js';
import { type ApiError, at, get } from '../../app/api.js';
import { goTo, here, linkTo, route } from '../../app/route.js';
import { plural, shellWord } from '../../app/text.js';
import { Empty, Failure, Loading, Page } from '../../parts/page.js';
import { type Extent, Plot } from '../../parts/plot.js';
import { firstLines, joinedLines, type Line, linesOf, nameOf } from './lines.js';
import { joinedSeries, linesOfSeries } from './series.js';

/** Number of devices that can be compared. */
export const [fewestCompared, mostCompared] = [2, 6];
/** Maximum number of messages read of each device. */
const mostMessages = 5000;
const spans = {
  ...{ '1': '1 minute', '10': '10 minutes', '60': '1 hour', '360': '6 hours' },
  ...{ '1440': '1 day', '10080': '7 days', '43200': '30 days' },
} as const;
/** Longest span of which all messages are read, minutes. For longer ones, the platform computes buckets. */
const longestRead = 60;
/** Pause before finer buckets are read for a new view, ms. */
const settledMs = 300;

interface Read {
  name: string;
  lines: readonly Line[];
  /** Whether the device sent more messages than were read. */
  isCut: boolean;
  /** Whether older buckets are still being read. */
  isPartial?: boolean;
  /** Number of fields that are left out. */
  fieldsLeftOut?: number;
  error?: ApiError;
}

/** One plot with a telemetry field of each device in the address. */
export function Compare() {
  const { query } = route.value;
  const names = [...new Set((query.get('compare') ?? '').split(',').filter(Boolean))].slice(0, mostCompared);
  const span = query.get('minutes') ?? '';
  const minutes = Object.hasOwn(spans, span) ? span : '10';
  const view = useSignal<Extent | null>(null);
  const { devices, finer, range, reload } = useTelemetry(names, Number(minutes), view);
  const isLong = Number(minutes) > longestRead;
  const withExtremes = query.get('values') === 'all';
  const first = firstLines((devices ?? []).map(({ lines }) => lines));
  const shown = (devices ?? []).flatMap(({ name, lines }, i) => {
    const wanted = query.get(`field.${name}`);
    const line = lines.find((one) => nameOf(one) === wanted) ?? first[i];
    return line ? [{ device: name, line }] : [];
  });
  const series = shown.flatMap(({ device, line }) => {
    const label = `${device} ${nameOf(line)}`;
    const one = { label, axis: line.field, ...(finer ? finerLine(finer, device, line) : line) };
    if (!withExtremes || !line.low || !line.high) return [one];
    return [
      one,
      { ...one, label: `${one.label} minimum`, values: line.low },
      { ...one, label: `${one.label} maximum`, values: line.high },
    ];
  });
  const choose = (key: string, value: string) => goTo(here({ [key]: value }), { replace: true });
  const selector = shellWord(names.join(','));
  const stream = shown[0]?.line.stream;
  return (
    <Page
      title="Compare devices"
      above={{ title: 'Devices', to: linkTo(['devices']) }}
      command={
        stream
          ? `aiot data export ${shellWord(stream)} --selector ${selector} --out compare.csv`
          : `aiot device list --selector ${selector}`
      }
    >
      <div class="plot-tools">
        <label>
          Last{' '}
          <select value={minutes} onChange={({ currentTarget }) => choose('minutes', currentTarget.value)}>
            {Object.entries(spans).map(([value, text]) => (
              <option key={value} value={value}>
                {text}
              </option>
            ))}
          </select>
        </label>
        {shown.map(({ device, line }) => (
          <label key={device}>
            {device}{' '}
            <select
              aria-label={`Field of ${device}`}
              value={nameOf(line)}
              onChange={({ currentTarget }) => choose(`field.${device}`, currentTarget.value)}
            >
              {devices
                ?.find(({ name }) => name === device)
                ?.lines.map((one) => (
                  <option key={nameOf(one)} value={nameOf(one)}>
                    {nameOf(one)}
                  </option>
                ))}
            </select>
          </label>
        ))}
        {isLong && (
          <label>
            Show{' '}
            <select
              value={withExtremes ? 'all' : 'mean'}
              onChange={({ currentTarget }) => choose('values', currentTarget.value)}
            >
              <option value="mean">means</option>
              <option value="all">means, minima and maxima</option>
            </select>
          </label>
        )}
        <button type="button" onClick={reload}>
          Refresh
        </button>
      </div>
      {devices?.map(({ name, error }) => error && <Failure key={name} error={error} />)}
      {!devices && <Loading />}
      {devices && shown.length === 0 && (
        <Empty
          title={`No telemetry in the last ${spans[minutes as keyof typeof spans]}`}
          command="aiot data list"
        >
          <p>Choose a longer time, or look for older telemetry in the datasets:</p>
        </Empty>
      )}
      {shown.length > 0 && (
        <Plot
          clock
          {...(range
            ? {
                view: view.value ?? range,
                onView: (next: Extent | null) => {
                  view.value = next;
                },
              }
            : { zoomable: true })}
          height={320}
          label={`Telemetry of ${shown.map(({ device }) => device).join(', ')}`}
          series={series}
          data={joinedLines(series)}
        />
      )}
      {devices?.some(({ isPartial }) => isPartial) && <p role="status">Reading older telemetry…</p>}
      {devices?.map(({ name, fieldsLeftOut = 0 }) =>
        fieldsLeftOut > 0 ? (
          <p key={name} class="soft">
            {name}: {plural(fieldsLeftOut, 'further field')} cannot be chosen.
          </p>
        ) : null,
      )}
      {devices?.map(({ name, lines, isCut, isPartial, error }) => {
        const isEmpty = lines.length === 0 && !error && !isPartial && shown.length > 0;
        return (
          (isCut || isEmpty) && (
            <p key={name} class="soft">
              {isCut
                ? `${name}: only its newest ${plural(mostMessages, 'message')} are shown.`
                : `${name} sent no telemetry in this time.`}
            </p>
          )
        );
      })}
    </Page>
  );
}

/** The same field of the same device in finer buckets; empty if it has no samples there, and unchanged if they could not be read. */
function finerLine(finer: readonly Read[], device: string, line: Line): Line {
  const read = finer.find(({ name }) => name === device);
  if (read?.error) return line;
  const own = read?.lines ?? [];
  const { stream, field } = line;
  const empty = { stream, field, times: [], values: [], low: [], high: [] };
  return own.find((one) => nameOf(one) === nameOf(line)) ?? empty;
}

/**
 * The telemetry of some devices in the last minutes. While other telemetry is read, there is none. Of a long time, these are buckets; if the
 * view is a part of it, finer ones of this part.
 * @returns `finer`: absent until they are read; `range`: the whole time that buckets are shown for, s; undefined for single messages
 */
function useTelemetry(names: readonly string[], minutes: number, view: Signal<Extent | null>) {
  const devices = useSignal<readonly Read[] | undefined>(undefined);
  const finer = useSignal<readonly Read[] | undefined>(undefined);
  const range = useSignal<Extent | undefined>(undefined);
  const reads = useSignal(0);
  const isLong = minutes > longestRead;
  useEffect(() => {
    const ended = new AbortController();
    const { signal } = ended;
    const now = Date.now();
    const since = now - minutes * 60_000;
    const read = async (name: string): Promise<Read> => {
      const query = { channel: 'telemetry', since, limit: mostMessages };
      try {
        const { messages } = await get(at('GET /devices/:name/messages', { name }, query), signal);
        return { name, lines: linesOf(messages, minutes * 60), isCut: messages.length === mostMessages };
      } catch (error) {
        return { name, lines: [], isCut: false, error: error as ApiError };
      }
    };
    devices.value = undefined;
    finer.value = undefined;
    view.value = null;
    range.value = isLong ? [since / 1000, now / 1000] : undefined;
    const all: (Read | undefined)[] = names.map(() => undefined);
    const told = (i: number) => (one: Read) => {
      all[i] = one;
      if (!signal.aborted && all.every((each) => each !== undefined)) devices.value = [...all] as Read[];
    };
    if (isLong)
      for (const [i, name] of names.entries()) void readBuckets(name, [since, now], signal, told(i));
    else
      void Promise.all(names.map(read)).then((found) => {
        if (!signal.aborted) devices.value = found;
      });
    return () => ended.abort();
  }, [names.join(), minutes, reads.value]);
  const [from, to] = view.value ?? [];
  useEffect(() => {
    const whole = range.value;
    if (from === undefined || to === undefined || !whole) {
      finer.value = undefined;
      return;
    }
    const ended = new AbortController();
    const { signal } = ended;
    // Half of the view on both sides, so that the plot can be moved.
    const margin = (to - from) / 2;
    const begin = Math.max(whole[0], from - margin) * 1000;
    const end = Math.min(whole[1], to + margin) * 1000;
    const read = async () => {
      const all: Read[] = [];
      const readOne = (name: string, i: number) =>
        readBuckets(name, [Math.floor(begin), Math.ceil(end)], signal, (one) => {
          all[i] = one;
        });
      await Promise.all(names.map(readOne));
      // A view without any sample keeps the coarser buckets and with them the choice of fields.
      if (!signal.aborted && all.some(({ lines }) => lines.length > 0)) finer.value = all;
    };
    const timer = end > begin ? setTimeout(() => void read(), settledMs) : undefined;
    return () => {
      clearTimeout(timer);
      ended.abort();
    };
  }, [from, to, names.join(), minutes, reads.value]);
  return {
    devices: devices.value,
    finer: view.value ? finer.value : undefined,
    range: range.value,
    reload: () => {
      reads.value++;
    },
  };
}

/** Reads the buckets of a device, the newest first. @param told called with everything that was read, until it is complete */
async function readBuckets(
  name: string,
  [from, to]: Extent,
  signal: AbortSignal,
  told: (read: Read) => void,
): Promise<void> {
  const parts: DeviceSeries[] = [];
  const linesIn = () => linesOfSeries(joinedSeries(parts), parts[0]?.bucketMs ?? 1, (to - from) / 1000);
  try {
    for (let end = to, bucketMs: number | undefined; ; ) {
      const query = { from, to: end, bucketMs };
      const part = await get(at('GET /devices/:name/series', { name }, query), signal);
      parts.unshift(part);
      const isPartial = part.readFrom > part.from;
      const fieldsLeftOut = Math.max(...parts.map((one) => one.fieldsLeftOut));
      told({ name, lines: linesIn(), isCut: false, isPartial, fieldsLeftOut });
      if (!isPartial) return;
      end = part.readFrom;
      bucketMs = part.bucketMs;
    }
  } catch (error) {
    told({ name, lines: linesIn(), isCut: false, error: error as ApiError });
  }
}
