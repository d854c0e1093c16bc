import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type { PlatformEvent } from '../../../src/lib/api/index.js';
import { shownData } from '../../../src/lib/api/rollouts/words.js';
import { type ApiError, at, get } from '../../app/api.js';
import { connected, onEvents } from '../../app/live.js';
import type { PageOf } from '../../app/pages.js';
import { goTo, here, linkTo, route } from '../../app/route.js';
import { plural, shellWord } from '../../app/text.js';
import { Dialog } from '../../parts/dialog.js';
import { Empty, Facts, Failure, Loading, Page } from '../../parts/page.js';
import { type Column, Table } from '../../parts/table.js';
import { When } from '../../parts/when.js';

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

/** The platform's events with user and time, newest first. New events are added at the top. */
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
          {held.value === null ? 'Pause' : 'Resume'}
        </button>
      }
    >
      <Filter key={`${type} ${subject}`} type={type} subject={subject} />
      {error && <Failure error={error} />}
      {!rows && !error && <Loading />}
      {rows && rows.length === 0 && (
        <Empty
          title={type === '' && subject === '' ? 'No events yet' : 'No matching events'}
          command={
            type === '' && subject === ''
              ? 'aiot device provision bench-1 --type virtual --out bench-1'
              : 'aiot events tail'
          }
        >
          <p>
            {type === '' && subject === ''
              ? 'Every change on the platform is recorded as an event. To cause one, add a device:'
              : 'New matching events appear here as they arrive. To see all events, clear the filter, or run:'}
          </p>
        </Empty>
      )}
      {rows && rows.length > 0 && (
        <>
          <p class="count">
            {rows.length >= most ? `latest ${plural(rows.length, 'event')}` : plural(rows.length, 'event')}
            {held.value && ', paused'}
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
    { title: 'time', cell: ({ at }) => <When at={at} as="short" />, sort: ({ at }) => at, width: '128px' },
    {
      title: 'type',
      cell: (event) => (
        <button type="button" class="link" onClick={() => show(event)}>
          {event.type}
        </button>
      ),
      sort: ({ type }) => type,
      width: '150px',
    },
    {
      title: 'subject',
      cell: (event) => {
        const to = pageOf(event);
        return to === null ? event.subject : <a href={to}>{event.subject}</a>;
      },
      sort: ({ subject }) => subject,
      width: '1.2fr',
    },
    { title: 'user', cell: ({ who }) => <span class="soft">{who}</span>, sort: ({ who }) => who, wide: true },
    {
      title: 'data',
      cell: ({ data }) => <span class="data">{dataText(data)}</span>,
      sort: ({ data }) => dataText(data) || null,
      width: '2.4fr',
      wide: true,
    },
  ];
}

/** All details of one event. */
function One({ event, onClose }: { event: PlatformEvent; onClose: () => void }) {
  const { id, at, type, subject, who, data } = event;
  const to = pageOf(event);
  return (
    <Dialog title={type} onClose={onClose}>
      <Facts
        facts={[
          ['subject', to === null ? subject : <a href={to}>{subject}</a>],
          ['time', <When key="time" at={at} />],
          ['user', who],
          ['id', id],
        ]}
      />
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling area must be reachable by keyboard */}
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
    goTo(here({ type: fields.value.type.trim(), subject: fields.value.subject.trim() }));
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
        <label for="subject">Subject</label>
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
        <button type="submit">Filter</button>
      </form>
    </search>
  );
}

/** Maximum number of events stored in the page. The platform has the rest. */
const most = 10_000;
/** Number of earlier events that are read when the page is opened. */
const before = 1000;
/** Events within this time are drawn together, ms. */
const settleMs = 200;

/**
 * Returns the events of these types about this subject, newest first. Reads some earlier events, and adds new ones as they arrive.
 * Each event is listed once, even after an interruption.
 */
function useEvents(
  types: string,
  subject: string,
): { events: readonly PlatformEvent[] | undefined; error: ApiError | undefined } {
  const events = useSignal<readonly PlatformEvent[] | undefined>(undefined);
  const error = useSignal<ApiError | undefined>(undefined);
  useEffect(() => {
    const controller = new AbortController();
    const { signal } = controller;
    let came: PlatformEvent[] = [];
    let timer: ReturnType<typeof setTimeout> | undefined;
    const add = (more: readonly PlatformEvent[]) => {
      events.value = merged(events.peek() ?? [], more);
    };
    const end = onEvents(types === '' ? ['*'] : types.split(','), (event) => {
      if (!isAbout(event, subject)) return;
      came.push(event);
      timer ??= setTimeout(() => {
        timer = undefined;
        add(came);
        came = [];
      }, settleMs);
    });
    const read = async () => {
      const last = events.peek()?.[0]?.id;
      const query = {
        type: types || undefined,
        subject: subject || undefined,
        ...(last === undefined ? { newest: before } : { from: last }),
        limit: before,
      };
      const page = await get(at('GET /events', {}, query), signal);
      if (signal.aborted) return;
      error.value = undefined;
      add(page.events);
      // After a long interruption, there is more than one page of events.
      if (page.next !== null && last !== undefined) await read();
    };
    const again = () => {
      read().catch((reason: ApiError) => {
        if (!signal.aborted) error.value = reason;
      });
    };
    events.value = undefined;
    error.value = undefined;
    let open = true;
    again();
    const stop = connected.subscribe((now) => {
      if (now && !open) again();
      open = now;
    });
    return () => {
      controller.abort();
      end();
      stop();
      clearTimeout(timer);
    };
  }, [types, subject]);
  return { events: events.value, error: error.value };
}

/** Whether an event is about this subject. As on the platform, `har` stands for all of its versions. */
function isAbout({ subject }: PlatformEvent, wanted: string): boolean {
  return wanted === '' || subject === wanted || subject.startsWith(`${wanted}@`);
}

/** Combines two lists of events, newest first and each event only once. */
function merged(known: readonly PlatformEvent[], more: readonly PlatformEvent[]): PlatformEvent[] {
  const by = new Map([...known, ...more].map((event) => [event.id, event]));
  return [...by.values()].sort((a, b) => b.id - a.id).slice(0, most);
}

/** The page of an event's subject; null if there is none. */
function pageOf({ type, subject }: Pick<PlatformEvent, 'type' | 'subject'>): string | null {
  const [noun = ''] = type.split('.');
  const [name = '', version] = subject.split('@');
  const [first = ''] = subject.split('/');
  switch (noun) {
    case 'device':
      return linkTo(['devices', subject]);
    case 'rollout':
      return linkTo(['rollouts', subject]);
    case 'model':
      return linkTo(version === undefined ? ['models', name] : ['models', name, version]);
    case 'pipeline':
      return linkTo(['pipelines', subject]);
    case 'dataset':
    case 'data':
      return linkTo(['datasets', first]);
    default:
      return null;
  }
}

/** An event's data in one line, such as `state committed · wave 1`. */
function dataText(data: PlatformEvent['data']): string {
  return Object.entries(shownData(data))
    .filter(([, value]) => value !== null && value !== '')
    .map(([key, value]) => `${key} ${typeof value === 'object' ? JSON.stringify(value) : value}`)
    .join(' · ');
}
