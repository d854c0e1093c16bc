import { useSignal } from '@preact/signals';
import type { PlatformEvent } from '../../../src/lib/registry/index.js';
import type { PageOf } from '../../app/pages.js';
import { goTo, linkTo, route } from '../../app/route.js';
import { moment, plural, shellWord, shortMoment } from '../../app/text.js';
import { Dialog } from '../../parts/dialog.js';
import { Empty, Facts, Failure, Loading, Page } from '../../parts/page.js';
import { type Column, Table } from '../../parts/table.js';
import { dataText, pageOf } from './about.js';
import { most, useEvents } from './use-events.js';

const nouns = [
  'device',
  'rollout',
  'model',
  'firmware',
  'config',
  'dataset',
  'data',
  'pipeline',
  'job',
  'token',
];

/** What was changed, by whom and when: newest first, and those to come on top. */
export function Events(_: PageOf) {
  const { query } = route.value;
  const type = query.get('type') ?? '';
  const subject = query.get('subject') ?? '';
  const { events, error } = useEvents(type, subject);
  const held = useSignal<readonly PlatformEvent[] | null>(null);
  const shown = useSignal<PlatformEvent | null>(null);
  const rows = held.value ?? events;
  const line = ['aiot events tail --follow', ...flag('type', type), ...flag('subject', subject)].join(' ');
  return (
    <Page
      title="Events"
      command={line}
      actions={
        <button
          type="button"
          aria-pressed={held.value !== null}
          onClick={() => {
            held.value = held.value === null ? (events ?? []) : null;
          }}
        >
          {held.value === null ? 'Hold' : 'Go on'}
        </button>
      }
    >
      <Filter key={`${type} ${subject}`} type={type} subject={subject} />
      {error && <Failure error={error} />}
      {!rows && !error && <Loading />}
      {rows && rows.length === 0 && (
        <Empty
          title={type === '' && subject === '' ? 'Nothing was changed yet' : 'No event fits'}
          command="aiot device provision bench-1 --type virtual --out bench-1"
        />
      )}
      {rows && rows.length > 0 && (
        <>
          <p class="count">
            {rows.length >= most
              ? `the newest ${plural(rows.length, 'event')}`
              : plural(rows.length, 'event')}
            {held.value && ', held'}
          </p>
          <Table
            rows={rows}
            columns={columnsOf((event) => {
              shown.value = event;
            })}
            keyOf={({ id }) => String(id)}
            label="Events"
          />
        </>
      )}
      {shown.value && (
        <One
          event={shown.value}
          onClose={() => {
            shown.value = null;
          }}
        />
      )}
    </Page>
  );
}

function flag(name: string, value: string): string[] {
  return value === '' ? [] : [`--${name} ${shellWord(value)}`];
}

function columnsOf(show: (event: PlatformEvent) => void): Column<PlatformEvent>[] {
  return [
    { title: 'when', cell: ({ at }) => <time>{shortMoment(at)}</time>, width: '118px' },
    {
      title: 'what',
      cell: (event) => (
        <button type="button" class="link" onClick={() => show(event)}>
          {event.type}
        </button>
      ),
      width: '150px',
    },
    {
      title: 'about',
      cell: (event) => {
        const to = pageOf(event);
        return to === null ? event.subject : <a href={to}>{event.subject}</a>;
      },
      width: '1.2fr',
    },
    { title: 'who', cell: ({ who }) => <span class="soft">{who}</span>, wide: true },
    {
      title: 'data',
      cell: ({ data }) => <span class="data">{dataText(data)}</span>,
      width: '2.4fr',
      wide: true,
    },
  ];
}

/** One event, whole. */
function One({ event, onClose }: { event: PlatformEvent; onClose: () => void }) {
  const { id, at, type, subject, who, data } = event;
  const to = pageOf(event);
  return (
    <Dialog title={type} onClose={onClose}>
      <Facts
        facts={[
          ['about', to === null ? subject : <a href={to}>{subject}</a>],
          ['when', moment(at)],
          ['who', who],
          ['number', id],
        ]}
      />
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, by the keyboard, too */}
      <pre class="whole" tabIndex={0}>
        {JSON.stringify(data, null, 2)}
      </pre>
      <div class="choices">
        <button type="button" onClick={onClose}>
          Close
        </button>
      </div>
    </Dialog>
  );
}

function Filter({ type, subject }: { type: string; subject: string }) {
  const fields = useSignal({ type, subject });
  const apply = (event: Event) => {
    event.preventDefault();
    goTo(linkTo(['events'], { type: fields.value.type.trim(), subject: fields.value.subject.trim() }));
  };
  return (
    <search>
      <form class="filter" onSubmit={apply}>
        <label for="type">Type</label>
        <input
          id="type"
          type="search"
          list="types"
          placeholder="device.*, rollout.end"
          spellcheck={false}
          autocapitalize="off"
          value={fields.value.type}
          onInput={({ currentTarget }) => {
            fields.value = { ...fields.value, type: currentTarget.value };
          }}
        />
        <datalist id="types">
          {nouns.map((noun) => (
            <option key={noun} value={`${noun}.*`} />
          ))}
        </datalist>
        <label for="subject">About</label>
        <input
          id="subject"
          type="search"
          placeholder="bench-1, motor-watch@3"
          spellcheck={false}
          autocapitalize="off"
          value={fields.value.subject}
          onInput={({ currentTarget }) => {
            fields.value = { ...fields.value, subject: currentTarget.value };
          }}
        />
        <button type="submit">Show</button>
      </form>
    </search>
  );
}
