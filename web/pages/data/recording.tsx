import { useSignal } from '@preact/signals';
import type { RecordingShown } from '../../../src/lib/registry/index.js';
import { useResource } from '../../app/resource.js';
import { linkTo } from '../../app/route.js';
import { mayChange } from '../../app/session.js';
import { ago, moment, shellWord, size } from '../../app/text.js';
import { Facts, Failure, Loading, Page, Section } from '../../parts/page.js';
import { type Band, type Extent, Plot } from '../../parts/plot.js';
import { Labels } from './labels.js';
import { usePoints } from './points.js';
import { duration, isClock } from './times.js';

interface Place {
  stream: string;
  device: string;
  recording: string;
}

/** One recording: its fields over time, with its labels, which a drag gives. */
export function Recording(place: Place) {
  const { stream, device, recording } = place;
  const path = `/datasets/${[stream, 'recordings', device, recording].map(encodeURIComponent).join('/')}`;
  const about = useResource<RecordingShown>(`${path}/about`, { events: ['data.*'] });
  const view = useSignal<Extent | null>(null);
  const marking = useSignal(false);
  const span = useSignal<Extent | null>(null);
  const { value: points, whole, error } = usePoints(`${path}/points`, view.value);
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
      {shown && points && whole && (
        <>
          <div class="plot-tools">
            {mayChange() && (
              <fieldset class="choice">
                <legend class="unseen">What dragging does</legend>
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
                    <span>{mark ? 'Drag labels' : 'Drag zooms'}</span>
                  </label>
                ))}
              </fieldset>
            )}
            <button type="button" disabled={view.value === null} onClick={() => zoom(null)}>
              Show all
            </button>
            <span class="soft">
              {points.reduced
                ? `least and greatest of ${points.samples.toLocaleString('en')} samples`
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
            {...(marking.value
              ? {
                  onSelect: (chosen: Extent) => {
                    span.value = within(chosen, whole);
                  },
                }
              : {})}
          />
          <Labels place={place} shown={shown} start={whole[0]} span={span} given={about.reload} />
        </>
      )}
      {shown && <About shown={shown} />}
    </Page>
  );
}

/** As much of it as is within, and never nothing. */
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
    ...(span ? [{ from: span[0], to: span[1], label: 'chosen' }] : []),
  ];
}

function About({ shown }: { shown: RecordingShown }) {
  const { device, rateHz, samples, messages, bytes, missing, outOfOrder, duplicates, late, lastAt } = shown;
  const { startedAt, endedAt } = shown;
  const count = (value: number) => value.toLocaleString('en');
  const odd = [
    ...(missing > 0 ? [`${count(missing)} missing`] : []),
    ...(outOfOrder > 0 ? [`${count(outOfOrder)} out of order`] : []),
    ...(duplicates > 0 ? [`${count(duplicates)} came again`] : []),
    ...(late > 0 ? [`${count(late)} late`] : []),
  ];
  return (
    <Section title="About">
      <Facts
        facts={[
          ['device', <a href={linkTo(['devices', device])}>{device}</a>],
          ...(startedAt !== null && isClock(startedAt) ? [['began', moment(startedAt)] as const] : []),
          ['duration', startedAt === null || endedAt === null ? 'not known' : duration(endedAt - startedAt)],
          ['samples', `${count(samples)} in ${count(messages)} messages, ${size(bytes)}`],
          ['rate', rateHz > 0 ? `${Number(rateHz.toPrecision(4))} Hz` : 'not told'],
          ['messages', odd.length === 0 ? 'all came, in order' : odd.join(', ')],
          ['last came', lastAt === null ? 'not known' : ago(lastAt)],
        ]}
      />
    </Section>
  );
}
