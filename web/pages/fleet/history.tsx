import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import type { LatencyHistory, PredictionHistory, PresenceHistory } from '../../../src/lib/api/index.js';
import { at } from '../../app/api.js';
import { type Resource, useFirstDevice, useResource } from '../../app/resource.js';
import { goTo, here, linkTo, route } from '../../app/route.js';
import { moment, shellWord } from '../../app/text.js';
import { Empty, Failure, Loading, Page, Section } from '../../parts/page.js';
import { type Extent, Plot } from '../../parts/plot.js';

const hourMs = 3_600_000;
const ranges: Record<string, { ms: number; title: string }> = {
  '1h': { ms: hourMs, title: '1 hour' },
  '1d': { ms: 24 * hourMs, title: '1 day' },
  '7d': { ms: 7 * 24 * hourMs, title: '7 days' },
  '30d': { ms: 30 * 24 * hourMs, title: '30 days' },
};
const usualRange = '1d';
/** How often a range that ends now is read again, ms. */
const refreshMs = 60_000;
/** Number of classes with a color of their own. */
const mostClasses = 7;

/** The range, devices and model in the address, and when the range ends. */
function useQuery() {
  const { query } = route.value;
  const time = (key: string) => {
    const ms = Date.parse(query.get(key) ?? '');
    return ms >= 0 ? ms : undefined;
  };
  const [from, to] = [time('from'), time('to')];
  const fixed = from !== undefined && to !== undefined && from < to ? { from, to } : null;
  const asked = query.get('range') ?? '';
  const range = Object.hasOwn(ranges, asked) ? asked : usualRange;
  const now = useSignal(Date.now());
  useEffect(() => {
    if (fixed) return;
    const timer = setInterval(() => {
      now.value = Date.now();
    }, refreshMs);
    return () => clearInterval(timer);
  }, [fixed === null]);
  const ms = ranges[range]?.ms ?? hourMs;
  return {
    ...{ fixed, range, selector: query.get('selector') ?? '', model: query.get('model') ?? '' },
    from: fixed?.from ?? now.value - ms,
    to: fixed?.to ?? now.value,
    refresh: () => {
      now.value = Date.now();
    },
  };
}

/** The last value while the same charts are read again, so that they do not disappear. */
function useLast<T>({ value, error }: Resource<T>, key: string) {
  const last = useRef<{ key: string; value: T } | null>(null);
  if (value !== undefined) last.current = { key, value };
  const kept = last.current?.key === key ? last.current.value : undefined;
  return { value: value ?? (error ? undefined : kept), error };
}

/** Presence, predictions by class, and latency over time, of all devices or those of a selector. The address contains the range and the devices. */
export function FleetHistory() {
  const { fixed, range, selector, model, from, to, refresh } = useQuery();
  const zoom = useSignal<Extent | null>(null);
  const key = [range, selector, model, fixed?.from, fixed?.to].join('\n');
  useEffect(() => {
    zoom.value = null;
  }, [key]);
  const given = { selector: selector || undefined, from, to: fixed ? to : undefined };
  const ofModel = { ...given, model: model || undefined };
  const presence = useLast(useResource(at('GET /history/presence', {}, given)), key);
  const predictions = useLast(useResource(at('GET /history/predictions', {}, ofModel)), key);
  const latency = useLast(useResource(at('GET /history/latency', {}, ofModel)), key);
  const error = presence.error ?? predictions.error ?? latency.error;
  const chart = {
    view: zoom.value,
    onView: (next: Extent | null) => {
      zoom.value = next;
    },
  };
  return (
    <Page
      title="Fleet history"
      above={{ title: 'Devices', to: linkTo(['devices']) }}
      command={commandOf({ selector, range, fixed })}
    >
      <Tools
        key={key}
        {...{ range, selector, model, zoom: zoom.value }}
        isFixed={fixed !== null}
        models={predictions.value?.models ?? []}
        onRefresh={refresh}
      />
      {fixed && (
        <p class="count">
          {moment(fixed.from)} to {moment(fixed.to)}
        </p>
      )}
      {error && <Failure error={error} />}
      {!error && (!presence.value || !predictions.value || !latency.value) && <Loading />}
      {!error && presence.value && <Presence history={presence.value} {...chart} />}
      {!error && predictions.value && (
        <Predictions history={predictions.value} selector={selector} {...chart} />
      )}
      {!error && latency.value && <Latency history={latency.value} {...chart} />}
    </Page>
  );
}

function commandOf({
  selector,
  range,
  fixed,
}: {
  selector: string;
  range: string;
  fixed: { from: number; to: number } | null;
}): string {
  const devices = selector === '' ? '' : ` --selector ${shellWord(selector)}`;
  const time = (ms: number) => new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');
  const when = fixed ? `--since ${time(fixed.from)} --until ${time(fixed.to)}` : `--since ${range}`;
  return `aiot fleet history${devices} ${when}`;
}

/** Choices of the range, the devices and the model. */
function Tools({
  range,
  selector,
  model,
  zoom,
  isFixed,
  models,
  onRefresh,
}: {
  range: string;
  selector: string;
  model: string;
  zoom: Extent | null;
  isFixed: boolean;
  models: readonly string[];
  onRefresh: () => void;
}) {
  const text = useSignal(selector);
  const apply = (event: Event) => {
    event.preventDefault();
    goTo(here({ selector: text.value.trim() }));
  };
  const iso = (seconds: number) => new Date(Math.round(seconds) * 1000).toISOString();
  const all = [...new Set([...models, ...(model === '' ? [] : [model])])].sort();
  return (
    <>
      <search>
        <form class="filter" onSubmit={apply}>
          <label for="selector">Selector</label>
          <input
            id="selector"
            type="search"
            placeholder="site=lab and type=esp32"
            spellcheck={false}
            autocapitalize="off"
            value={text.value}
            onInput={({ currentTarget }) => {
              text.value = currentTarget.value;
            }}
          />
          <button type="submit">Filter</button>
        </form>
      </search>
      <div class="plot-tools">
        <label>
          Last{' '}
          <select
            value={isFixed ? '' : range}
            onChange={({ currentTarget }) => goTo(here({ range: currentTarget.value, from: '', to: '' }))}
          >
            {isFixed && <option value="">own range</option>}
            {Object.entries(ranges).map(([value, { title }]) => (
              <option key={value} value={value}>
                {title}
              </option>
            ))}
          </select>
        </label>
        <label>
          Model{' '}
          <select value={model} onChange={({ currentTarget }) => goTo(here({ model: currentTarget.value }))}>
            <option value="">all</option>
            {all.map((name) => (
              <option key={name} value={name}>
                {name}
              </option>
            ))}
          </select>
        </label>
        {!isFixed && (
          <button type="button" onClick={onRefresh}>
            Refresh
          </button>
        )}
        {zoom && (
          <button
            type="button"
            onClick={() => goTo(here({ from: iso(zoom[0]), to: iso(zoom[1]), range: '' }))}
          >
            Read this part in detail
          </button>
        )}
      </div>
    </>
  );
}

interface Chart {
  /** The part that is zoomed to, the same in all charts; null = the whole range. */
  view: Extent | null;
  onView: (view: Extent | null) => void;
}

/** The whole range in s, or the part that is zoomed to. */
const viewOf = ({ from, to }: { from: number; to: number }, view: Extent | null): Extent =>
  view ?? [from / 1000, to / 1000];

function Presence({ history, view, onView }: { history: PresenceHistory } & Chart) {
  const { buckets, bucketMs } = history;
  const isEmpty = buckets.every(({ devices }) => !devices);
  const device = useFirstDevice();
  if (isEmpty) {
    const isKnown = buckets.some(({ minutes }) => minutes > 0);
    return (
      <Section title="Presence">
        <Empty
          title={isKnown ? 'No devices in this time' : 'Nothing is known of this time'}
          command={
            device?.exists ? 'aiot device list' : 'aiot device provision bench-1 --type virtual --out bench-1'
          }
        >
          <p>
            {isKnown
              ? 'None of these devices had connected before. See which devices there are:'
              : 'The platform did not run, or has just started: it looks at the fleet once a minute. Meanwhile:'}
          </p>
        </Empty>
      </Section>
    );
  }
  // The two curves have the same shape while the number of devices is constant, so only one of them is shown.
  const isShare = route.value.query.get('presence') === 'share';
  // A value is drawn in the middle of its bucket.
  const xs = buckets.map((bucket) => (bucket.at + bucketMs / 2) / 1000);
  const share = ({ online, devices }: (typeof buckets)[number]) =>
    online === null || !devices ? null : (100 * online) / devices;
  return (
    <Section title="Presence" note={<Gaps values={buckets.map(({ online }) => online)} />}>
      <div class="plot-tools">
        <label>
          Show{' '}
          <select
            value={isShare ? 'share' : ''}
            onChange={({ currentTarget }) => goTo(here({ presence: currentTarget.value }), { replace: true })}
          >
            <option value="">number of devices</option>
            <option value="share">share online, %</option>
          </select>
        </label>
      </div>
      <Plot
        key={String(isShare)}
        clock
        least={0}
        height={200}
        label="Presence over time"
        series={isShare ? [{ label: 'online, %' }] : [{ label: 'devices online' }, { label: 'all devices' }]}
        data={
          isShare
            ? [xs, buckets.map(share)]
            : [xs, buckets.map(({ online }) => online), buckets.map(({ devices }) => devices)]
        }
        {...{ view: viewOf(history, view), onView }}
      />
    </Section>
  );
}

/** Number of buckets without data. */
function Gaps({ values }: { values: readonly (number | null)[] }) {
  const count = values.filter((value) => value === null).length;
  if (count === 0) return null;
  return <>{Math.round((100 * count) / values.length)} % of this time is unknown: the platform did not run</>;
}

function Predictions({
  history,
  selector,
  view,
  onView,
}: { history: PredictionHistory; selector: string } & Chart) {
  const { buckets, classes } = history;
  const device = useFirstDevice();
  if (buckets.every(({ total }) => !total)) {
    const ofDevice = `aiot device logs ${shellWord(device?.name ?? 'bench-1')} --channel inference`;
    const ofSelected = `aiot fleet history --show predictions --since 30d --selector ${shellWord(selector)}`;
    return (
      <Section title="Predictions by class">
        <Empty title="No predictions in this time" command={selector === '' ? ofDevice : ofSelected}>
          <p>
            {selector === ''
              ? 'Choose a longer range, or see the newest predictions of a device:'
              : 'Choose a longer range, or see the predictions of these devices in the last 30 days:'}
          </p>
        </Empty>
      </Section>
    );
  }
  const shown = classes.slice(0, mostClasses);
  const counts = shown.map((_, i) => buckets.map((bucket) => bucket.counts?.[i] ?? null));
  const rest = buckets.map(({ total, counts: own }) =>
    total === null || own === null ? null : total - shown.reduce((sum, _, i) => sum + (own[i] ?? 0), 0),
  );
  const hasRest = rest.some((count) => (count ?? 0) > 0);
  return (
    <Section title="Predictions by class" note={<Gaps values={buckets.map(({ total }) => total)} />}>
      <Plot
        clock
        stacked
        least={0}
        height={220}
        label="Predictions by class over time"
        series={[...shown, ...(hasRest ? ['other or no class'] : [])].map((label) => ({ label }))}
        data={[buckets.map((bucket) => bucket.at / 1000), ...counts, ...(hasRest ? [rest] : [])]}
        {...{ view: viewOf(history, view), onView }}
      />
    </Section>
  );
}

function Latency({ history, view, onView }: { history: LatencyHistory } & Chart) {
  const { buckets, bucketMs } = history;
  if (buckets.every(({ total }) => !total)) return null;
  return (
    <Section title="Latency of predictions" note="from a window’s last sample to its prediction, ms">
      <Plot
        clock
        least={0}
        height={180}
        label="Latency of predictions over time"
        series={[{ label: 'p50, ms' }, { label: 'p99, ms' }]}
        data={[
          buckets.map((bucket) => (bucket.at + bucketMs / 2) / 1000),
          buckets.map(({ p50 }) => p50),
          buckets.map(({ p99 }) => p99),
        ]}
        {...{ view: viewOf(history, view), onView }}
      />
    </Section>
  );
}
