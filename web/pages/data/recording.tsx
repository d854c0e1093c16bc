import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type uPlot from 'uplot';
import type { RecordingShown } from '../../../src/lib/api/index.js';
import { type ApiError, at, get } from '../../app/api.js';
import { useResource } from '../../app/resource.js';
import { linkTo } from '../../app/route.js';
import { mayChange } from '../../app/session.js';
import { shellWord, size } from '../../app/text.js';
import { Facts, Failure, Loading, Page, Section } from '../../parts/page.js';
import { type Band, type Extent, Plot } from '../../parts/plot.js';
import { When } from '../../parts/when.js';
import { Labels } from './labels.js';
import { Player } from './player.js';
import { firstField } from './sound.js';
import { SuggestionNote, useRanking } from './suggestions.js';
import { duration, isClock } from './times.js';

interface Place {
  stream: string;
  device: string;
  recording: string;
}

/** One recording, with its fields over time and with labels, which the user adds by dragging. */
export function Recording(place: Place) {
  const { stream, device, recording } = place;
  const about = useResource(at('GET /datasets/:stream/recordings/:device/:recording/about', place), {
    events: ['data.*'],
  });
  const ranking = useRanking(stream).value;
  const view = useSignal<Extent | null>(null);
  const marking = useSignal(false);
  const span = useSignal<Extent | null>(null);
  const head = useSignal<number | null>(null);
  const { value: points, whole, field, error } = usePoints(place, view.value);
  const shown = about.value;
  const name = `${stream}/${device}/${recording}`;
  const failed = about.error ?? error;
  const zoom = (next: Extent | null) => {
    view.value = whole && next ? within(next, whole) : null;
  };
  return (
    <Page
      title={recording}
      above={{ title: stream, to: linkTo(['datasets', stream]) }}
      command={`aiot data show ${shellWord(name)}`}
    >
      {failed && <Failure error={failed} />}
      {!shown && !failed && <Loading />}
      {shown && ranking && <SuggestionNote ranking={ranking} place={place} />}
      {shown && points && whole && (
        <>
          <div class="plot-tools">
            {mayChange() && (
              <fieldset class="choice">
                <legend class="unseen">Drag action</legend>
                {[false, true].map((mark) => (
                  <label key={String(mark)}>
                    <input
                      type="radio"
                      name="drag"
                      checked={marking.value === mark}
                      onChange={() => {
                        marking.value = mark;
                      }}
                    />
                    <span>{mark ? 'Drag to label' : 'Drag to zoom'}</span>
                  </label>
                ))}
              </fieldset>
            )}
            <button type="button" disabled={view.value === null} onClick={() => zoom(null)}>
              Show all
            </button>
            <span class="soft">
              {points.reduced
                ? `minimum and maximum of ${points.samples.toLocaleString('en')} samples`
                : `${points.samples.toLocaleString('en')} samples`}
            </span>
          </div>
          <Plot
            data={points.data}
            series={points.fields.map((label) => ({ label }))}
            label={`Fields of ${recording} over time`}
            height={320}
            bands={bandsOf(shown, whole, span.value)}
            clock={isClock(shown.startedAt)}
            view={view.value ?? whole}
            onView={zoom}
            head={head}
            {...(marking.value
              ? {
                  onSelect: (chosen: Extent) => {
                    span.value = within(chosen, whole);
                  },
                }
              : {})}
          />
          <Player
            key={name}
            place={{ stream, device, recording }}
            shown={shown}
            field={field}
            whole={whole}
            head={head}
          />
          <Labels
            place={place}
            shown={shown}
            words={ranking?.labels ?? []}
            start={whole[0]}
            span={span}
            given={about.reload}
          />
        </>
      )}
      {shown && <About shown={shown} />}
    </Page>
  );
}

/** Clamps the view to the recording. The result is never empty. */
function within([from, to]: Extent, [first, last]: Extent): Extent {
  const least = Math.min(0.001, last - first);
  const length = Math.min(Math.max(to - from, least), last - first);
  const start = Math.min(Math.max(from, first), last - length);
  return [start, start + length];
}

function bandsOf({ label, parts }: RecordingShown, [from, to]: Extent, span: Extent | null): Band[] {
  return [
    ...(label === null ? [] : [{ from, to, label }]),
    ...parts.map((part) => ({ from: part.from / 1000, to: part.to / 1000, label: part.label })),
    ...(span ? [{ from: span[0], to: span[1], label: 'selected' }] : []),
  ];
}

function About({ shown }: { shown: RecordingShown }) {
  const { device, rateHz, samples, messages, bytes, missing, outOfOrder, duplicates, late, lastAt } = shown;
  const { startedAt, endedAt } = shown;
  const count = (value: number) => value.toLocaleString('en');
  const odd = [
    ...(missing > 0 ? [`${count(missing)} missing`] : []),
    ...(outOfOrder > 0 ? [`${count(outOfOrder)} out of order`] : []),
    ...(duplicates > 0 ? [`${count(duplicates)} duplicates`] : []),
    ...(late > 0 ? [`${count(late)} late`] : []),
  ];
  return (
    <Section title="About">
      <Facts
        facts={[
          ['device', <a href={linkTo(['devices', device])}>{device}</a>],
          ...(startedAt !== null && isClock(startedAt)
            ? [['started', <When key="started" at={startedAt} />] as const]
            : []),
          ['duration', startedAt === null || endedAt === null ? 'unknown' : duration(endedAt - startedAt)],
          ['samples', `${count(samples)} in ${count(messages)} messages, ${size(bytes)}`],
          ['rate', rateHz > 0 ? `${Number(rateHz.toPrecision(4))} Hz` : 'unknown'],
          ['messages', odd.length === 0 ? 'all received, in order' : odd.join(', ')],
          ['last received', lastAt === null ? 'unknown' : <When key="last" at={lastAt} />],
        ]}
      />
    </Section>
  );
}

interface Points {
  fields: string[];
  samples: number;
  reduced: boolean;
  /** Data for the plot: x in s, followed by the fields. */
  data: uPlot.AlignedData;
}

/** Delay before the visible span is requested, ms, so that turning the wheel causes only one request. */
const settleMs = 120;
/** Maximum number of rows per response, which is more than a plot has pixels. */
const most = 2000;

/**
 * Reads the visible part of a recording at the resolution that the view needs. Coarser data remains visible until the finer data arrives.
 */
function usePoints(
  place: Place,
  view: Extent | null,
): {
  value: Points | undefined;
  whole: Extent | undefined;
  /** The first field that has values in the recording. */
  field: string | undefined;
  error: ApiError | undefined;
} {
  const path = `${place.stream}/${place.device}/${place.recording}`;
  const value = useSignal<Points | undefined>(undefined);
  const whole = useSignal<Extent | undefined>(undefined);
  const field = useSignal<string | undefined>(undefined);
  const error = useSignal<ApiError | undefined>(undefined);
  useEffect(() => {
    value.value = undefined;
    whole.value = undefined;
    error.value = undefined;
  }, [path]);
  useEffect(() => {
    const controller = new AbortController();
    const read = async () => {
      // Some data beyond each edge is read too, so that lines do not end at the edge.
      const margin = view ? (view[1] - view[0]) / 10 : 0;
      const part = view ? { from: (view[0] - margin) * 1000, to: (view[1] + margin) * 1000 } : {};
      const query = { points: most, ...part };
      try {
        const found = await get(
          at('GET /datasets/:stream/recordings/:device/:recording/points', place, query),
          controller.signal,
        );
        const xs = found.t.map((t) => t / 1000);
        const data = [xs, ...found.columns] as uPlot.AlignedData;
        value.value = { fields: found.fields, samples: found.samples, reduced: found.reduced, data };
        error.value = undefined;
        const [first = 0] = xs;
        const last = xs.at(-1) ?? first;
        if (!view) field.value = firstField(found.fields, found.columns);
        if (!view) whole.value = last > first ? [first, last] : [first, first + 1];
      } catch (reason) {
        if (!controller.signal.aborted) error.value = reason as ApiError;
      }
    };
    const timer = setTimeout(read, view ? settleMs : 0);
    return () => {
      clearTimeout(timer);
      controller.abort();
    };
  }, [path, view?.[0], view?.[1]]);
  return { value: value.value, whole: whole.value, field: field.value, error: error.value };
}
