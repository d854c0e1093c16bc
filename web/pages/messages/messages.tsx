import { useSignal } from '@preact/signals';
import { useEffect, useMemo } from 'preact/hooks';
import type { LiveMessage } from '../../../src/lib/api/index.js';
import { ApiError } from '../../app/api.js';
import { connected, onMessages } from '../../app/live.js';
import type { PageOf } from '../../app/pages.js';
import { goTo, here, route } from '../../app/route.js';
import { user } from '../../app/session.js';
import { plural, shellWord, size } from '../../app/text.js';
import { Badge, type Tone } from '../../parts/badge.js';
import { Dialog } from '../../parts/dialog.js';
import { Empty, Facts, Failure, Page } from '../../parts/page.js';
import { type Column, Table } from '../../parts/table.js';
import { When } from '../../parts/when.js';

/** Maximum number of messages stored in the page. */
const most = 1000;
/** Messages that arrive within this time are drawn together, ms. */
const settleMs = 200;

/** A message, numbered in order of arrival in this page. */
type Numbered = LiveMessage & { number: number };

/** MQTT messages as they arrive, newest first. */
export function Messages(_: PageOf) {
  const filter = route.value.query.get('filter') ?? usualFilter();
  const { messages, missed, state, error, clear } = useMessages(filter);
  const held = useSignal<readonly Numbered[] | null>(null);
  const shown = useSignal<Numbered | null>(null);
  const rows = held.value ?? messages;
  return (
    <Page
      title="Messages"
      command={`aiot stream tail ${shellWord(`aiot:///${filter}`)}`}
      actions={
        <>
          <button type="button" onClick={clear} disabled={messages.length === 0}>
            Clear
          </button>
          <button
            type="button"
            aria-pressed={held.value !== null}
            onClick={() => {
              held.value = held.value === null ? messages : null;
            }}
          >
            {held.value === null ? 'Pause' : 'Resume'}
          </button>
        </>
      }
    >
      <Filter key={filter} filter={filter} />
      {error ? (
        <Failure error={error} />
      ) : (
        <p class="count" role="status">
          <Badge tone={tones[state]}>{state}</Badge>
          {(rows.length > 0 || held.value) && (
            <span>
              {rows.length >= most && 'latest '}
              {plural(rows.length, 'message')}
              {held.value && ', paused'}
            </span>
          )}
          {missed > 0 && (
            <span>{plural(missed, 'more message')} not shown because they arrived too fast</span>
          )}
        </p>
      )}
      {rows.length === 0 && !error && (
        <Empty
          title={state === 'live' ? 'No messages yet' : 'Not connected'}
          command="aiot stream publish aiot:///hello hi"
        >
          <p>Messages that match the filter appear here as they arrive. To send one, run:</p>
        </Empty>
      )}
      {rows.length > 0 && (
        <Table
          rows={rows}
          columns={columnsOf((message) => {
            shown.value = message;
          })}
          keyOf={({ number }) => String(number)}
          label="Messages"
        />
      )}
      {shown.value && (
        <One
          message={shown.value}
          onClose={() => {
            shown.value = null;
          }}
        />
      )}
    </Page>
  );
}

const tones = { live: 'good', connecting: 'warn', interrupted: 'bad' } as const satisfies Record<
  string,
  Tone
>;

/** The default filter: all topics, or the first filter that the token allows. */
function usualFilter(): string {
  const scopes = user.value?.scopes ?? null;
  return scopes?.find((scope) => scope.startsWith('stream:'))?.slice('stream:'.length) ?? '#';
}

interface Tailed {
  /** The messages, newest first. */
  messages: readonly Numbered[];
  missed: number;
  state: keyof typeof tones;
  error: ApiError | undefined;
  clear: () => void;
}

function useMessages(filter: string): Tailed {
  const messages = useSignal<readonly Numbered[]>([]);
  const missed = useSignal(0);
  const begun = useSignal(false);
  const error = useSignal<ApiError | undefined>(undefined);
  const clear = () => {
    messages.value = [];
    missed.value = 0;
  };
  useEffect(() => {
    let number = 0;
    let came: Numbered[] = [];
    let timer: ReturnType<typeof setTimeout> | undefined;
    const show = () => {
      timer = undefined;
      const known = messages.peek();
      // After an interruption, the broker resends retained messages.
      const retained = new Set(known.filter(({ retain }) => retain).map(identityOf));
      const fresh = came.filter((message) => !message.retain || !retained.has(identityOf(message)));
      messages.value = [...fresh.reverse(), ...known].slice(0, most);
      came = [];
    };
    clear();
    begun.value = false;
    error.value = undefined;
    const end = onMessages(filter, {
      message(message) {
        came.push({ ...message, number: ++number });
        timer ??= setTimeout(show, settleMs);
      },
      missed(count) {
        missed.value += count;
      },
      open() {
        begun.value = true;
        error.value = undefined;
      },
      refused({ code, detail, next }) {
        error.value = new ApiError(code, detail, next);
      },
    });
    const stop = connected.subscribe((now) => {
      if (!now) begun.value = false;
    });
    return () => {
      end();
      stop();
      clearTimeout(timer);
    };
  }, [filter]);
  const state = begun.value ? 'live' : connected.value ? 'connecting' : 'interrupted';
  return { messages: messages.value, missed: missed.value, state, error: error.value, clear };
}

function columnsOf(show: (message: Numbered) => void): Column<Numbered>[] {
  return [
    {
      title: 'time',
      cell: ({ time }) => <When at={time} as="short" />,
      sort: ({ number }) => -number,
      width: '128px',
    },
    {
      title: 'topic',
      cell: (message) => (
        <button type="button" class="link" onClick={() => show(message)}>
          {message.topic}
        </button>
      ),
      sort: ({ topic }) => topic,
      width: '1.4fr',
    },
    {
      title: 'payload',
      cell: (message) => <span class="data">{textOf(message).slice(0, 500)}</span>,
      sort: (message) => textOf(message),
      width: '2.4fr',
    },
    {
      title: 'QoS',
      cell: ({ qos = 0, retain }) => (
        <span class="soft">
          {qos}
          {retain && ' retained'}
        </span>
      ),
      sort: ({ qos = 0 }) => qos,
      width: '100px',
      wide: true,
    },
    {
      title: 'size',
      cell: ({ bytes }) => size(bytes),
      sort: ({ bytes }) => bytes,
      number: true,
      width: '90px',
      wide: true,
    },
  ];
}

function identityOf(message: LiveMessage): string {
  return `${message.topic} ${textOf(message)}`;
}

/** The payload in one line. */
function textOf({ payload, encoding }: LiveMessage): string {
  return encoding === 'json' ? JSON.stringify(payload) : String(payload ?? '');
}

/** All details of one message. */
function One({ message, onClose }: { message: Numbered; onClose: () => void }) {
  const { topic, time, payload, encoding, headers = [], qos = 0, retain, bytes, cut } = message;
  const text = useMemo(
    () => (encoding === 'json' ? JSON.stringify(payload, null, 2) : String(payload ?? '')),
    [message],
  );
  const kind = { json: 'JSON', utf8: 'text', base64: 'binary, as base64' }[encoding];
  return (
    <Dialog title={topic} onClose={onClose}>
      <Facts
        facts={[
          ['time', <When key="time" at={time} />],
          ['QoS', retain ? `${qos}, retained` : qos],
          ['payload', `${kind}, ${size(bytes)}${cut ? '; only the beginning is shown' : ''}`],
          ...(headers.length > 0
            ? ([['properties', headers.map(([name, value]) => `${name}: ${value}`).join('; ')]] as const)
            : []),
        ]}
      />
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling area must be reachable by keyboard */}
      <pre class="whole" tabIndex={0}>
        {text}
      </pre>
      <div class="choices">
        <button type="button" onClick={onClose}>
          Close
        </button>
      </div>
    </Dialog>
  );
}

function Filter({ filter }: { filter: string }) {
  const text = useSignal(filter);
  const apply = (event: Event) => {
    event.preventDefault();
    const wanted = text.value.trim();
    goTo(here({ filter: wanted === usualFilter() ? '' : wanted }));
  };
  return (
    <search>
      <form class="filter" onSubmit={apply}>
        <label for="filter">Topic filter</label>
        <input
          id="filter"
          type="search"
          placeholder="sensors/#, +/state, $SYS/#"
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
  );
}
