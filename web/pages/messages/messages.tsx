import { useSignal } from '@preact/signals';
import { useEffect, useMemo, useRef } from 'preact/hooks';
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
import type { Condition } from './condition.js';

/** Maximum number of messages stored in the page, and of the bytes of their payloads. */
const most = 1000;
const mostBytes = 4_000_000;
/** Maximum number of messages that wait for the condition. */
const mostWaiting = 1000;
/** Length of the longest payload that arrives whole, bytes. Of others, only the beginning arrives. */
const longestPayload = 16 * 1024;
/** Messages that arrive within this time are drawn together, ms. */
const settleMs = 200;

/** A message, numbered in order of arrival in this page. */
type Numbered = LiveMessage & { number: number };

/** MQTT messages as they arrive, newest first. */
export function Messages(_: PageOf) {
  const search = searchOf(route.value.query);
  const { filter, where, isWrong } = search;
  const { messages, isShortened, missed, others, failure, state, error, clear } = useMessages(
    isWrong ? null : filter,
    where,
  );
  const held = useSignal<readonly Numbered[] | null>(null);
  const shown = useSignal<Numbered | null>(null);
  const rows = held.value ?? messages;
  useEffect(() => {
    held.value = null;
  }, [filter, where]);
  return (
    <Page
      title="Messages"
      command={`aiot stream tail ${shellWord(`aiot:///${filter}`)}${where && ` --where ${shellWord(where)}`}`}
      actions={
        <>
          <button
            type="button"
            onClick={() => {
              clear();
              if (held.value !== null) held.value = [];
            }}
            disabled={rows.length === 0 && messages.length === 0}
          >
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
      <Filter search={search} />
      {error ? (
        <Failure error={error} />
      ) : (
        <p class="count">
          {/* Without the counts, because a screen reader would announce each change. */}
          <span role="status">
            <Badge tone={tones[state]}>{state}</Badge>
          </span>
          {(rows.length > 0 || held.value) && (
            <span>
              {isShortened && 'latest '}
              {plural(rows.length, 'message')}
              {held.value && ', paused'}
            </span>
          )}
          {others > 0 && <span>{plural(others, 'other message')} did not meet the condition</span>}
          {failure.count > 0 && (
            <span>
              {plural(failure.count, 'message')} could not be checked: {failure.reason}
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
          command={
            search.device
              ? `aiot device show ${shellWord(search.device)}`
              : 'aiot stream publish aiot:///hello hi'
          }
        >
          <p>
            Messages that match the filter appear here as they arrive.{' '}
            {search.device ? 'To see whether the device is online, run:' : 'To send one, run:'}
          </p>
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

/** The messages that the page's address asks for. */
interface Search {
  /** The telemetry of this device; empty = all devices, or those of the topic filter. */
  device: string;
  /** Name of a stream of telemetry; empty = all. */
  stream: string;
  /** Topic filter, which a device or a stream determines. */
  filter: string;
  /** JSONata condition; empty = none. */
  where: string;
  /** Whether the device or the stream cannot be a level of a topic filter. */
  isWrong: boolean;
}

function searchOf(query: URLSearchParams): Search {
  const given = (name: string) => (query.get(name) ?? '').trim();
  const [device, stream] = [given('device'), given('stream')];
  const filter = telemetryFilter(device, stream) ?? (given('filter') || usualFilter());
  const isWrong = [device, stream].some((name) => /[/+#]/.test(name));
  return { device, stream, filter, where: given('where').slice(0, 2000), isWrong };
}

/** The `pattern` of a field with one level of a topic. Browsers require the backslash. */
const oneLevel = '[^\\/+#]*';
const oneLevelAdvice = 'Use no / + or #.';

/** The topic filter of a device's telemetry, of one stream, or of both; null without either. */
function telemetryFilter(device: string, stream: string): string | null {
  if (device === '' && stream === '') return null;
  return `aiot/v1/${device || '+'}/telemetry/${stream || '+'}`;
}

interface Tailed {
  /** The messages, newest first. */
  messages: readonly Numbered[];
  /** Whether older messages have been removed. */
  isShortened: boolean;
  missed: number;
  /** Number of messages that did not meet the condition. */
  others: number;
  /** Messages that could not be checked, and the latest reason. */
  failure: { count: number; reason: string };
  state: keyof typeof tones;
  error: ApiError | undefined;
  clear: () => void;
}

const nothingCounted = { missed: 0, others: 0, failure: { count: 0, reason: '' } };

/** @param filter null = none, because the device or the stream is wrong */
function useMessages(filter: string | null, where: string): Tailed {
  const messages = useSignal<readonly Numbered[]>([]);
  const isShortened = useSignal(false);
  const counted = useSignal(nothingCounted);
  const begun = useSignal(false);
  const error = useSignal<ApiError | undefined>(undefined);
  const conditionError = useSignal<ApiError | undefined>(undefined);
  const clear = useRef(() => {});
  useEffect(() => {
    let number = 0;
    let came: Numbered[] = [];
    let counts = nothingCounted;
    let timer: ReturnType<typeof setTimeout> | undefined;
    clear.current = () => {
      came = [];
      counts = nothingCounted;
      messages.value = [];
      isShortened.value = false;
      counted.value = counts;
    };
    const show = () => {
      timer = undefined;
      counted.value = counts;
      if (came.length === 0) return;
      const known = messages.peek();
      // After an interruption, the broker resends retained messages.
      const retained = new Set(known.filter(({ retain }) => retain).map(identityOf));
      const fresh = came.filter((message) => !message.retain || !retained.has(identityOf(message)));
      const all = [...fresh.reverse(), ...known];
      messages.value = newest(all);
      if (messages.value.length < all.length) isShortened.value = true;
      came = [];
    };
    const showSoon = () => {
      timer ??= setTimeout(show, settleMs);
    };
    const add = (message: Numbered) => {
      came.push(message);
      showSoon();
    };
    const count = (more: Partial<typeof nothingCounted>) => {
      counts = { ...counts, ...more };
      showSoon();
    };
    const miss = (more: number) => count({ missed: counts.missed + more });
    let isOver = false;
    let waiting = 0;
    /** Checks of the condition, one after another, so that the order of the messages is kept. */
    let checks: Promise<unknown> = Promise.resolve();
    const check = async (message: Numbered, compiled: Promise<Condition | null>) => {
      try {
        const condition = await compiled;
        if (isOver || condition === null) return;
        const isMet = await condition.matches(message);
        if (isOver) return;
        if (isMet) add(message);
        else count({ others: counts.others + 1 });
      } catch (reason) {
        if (!isOver)
          count({ failure: { count: counts.failure.count + 1, reason: (reason as Error).message } });
      } finally {
        waiting--;
      }
    };
    clear.current();
    begun.value = false;
    error.value = undefined;
    conditionError.value = undefined;
    if (filter === null) {
      error.value = new ApiError(
        'AIOT_NAME_INVALID',
        'The device or the stream contains /, + or #.',
        `${oneLevelAdvice} For other topics, enter a topic filter.`,
      );
      return;
    }
    const compiled =
      where === ''
        ? null
        : compile(where).catch((reason: ApiError) => {
            if (!isOver) conditionError.value = reason;
            return null;
          });
    const end = onMessages(filter, {
      message(arrived) {
        const message = { ...arrived, number: ++number };
        if (compiled === null) add(message);
        else if (waiting >= mostWaiting) miss(1);
        else {
          waiting++;
          checks = checks.then(() => check(message, compiled));
        }
      },
      missed: miss,
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
      isOver = true;
      end();
      stop();
      clearTimeout(timer);
    };
  }, [filter, where]);
  const state = begun.value ? 'live' : connected.value ? 'connecting' : 'interrupted';
  return {
    ...{ messages: messages.value, isShortened: isShortened.value, ...counted.value },
    ...{ state, error: conditionError.value ?? error.value, clear: () => clear.current() },
  };
}

/** @throws ApiError */
async function compile(where: string): Promise<Condition> {
  const { conditionOf } = await import('./condition.js').catch((): never => {
    throw new ApiError(
      'AIOT_PLATFORM_UNREACHABLE',
      'The part of the dashboard that checks conditions could not be loaded.',
      'Reload the page.',
    );
  });
  try {
    return conditionOf(where);
  } catch (error) {
    throw new ApiError(
      'AIOT_STREAM_EXPRESSION',
      `The condition is not valid JSONata: ${(error as { message?: string }).message ?? String(error)}`,
      'Write a condition such as temperature > 80 and state = "on".',
    );
  }
}

/** The messages that the page stores. @param all newest first */
function newest(all: readonly Numbered[]): readonly Numbered[] {
  let bytes = 0;
  const first = all.findIndex((message) => {
    bytes += Math.min(message.bytes, longestPayload);
    return bytes > mostBytes;
  });
  return all.slice(0, Math.min(most, first < 1 ? all.length : first));
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

/** The contents of the fields. A device or a stream determines the topic filter. */
function fieldsOf({ device, stream, filter, where }: Search) {
  return { device, stream, filter: device || stream ? '' : filter, where };
}

/** Fields for the messages. The address contains them, so the search can be bookmarked. */
function Filter({ search }: { search: Search }) {
  const fields = useSignal(fieldsOf(search));
  // Fields that were removed and created anew would lose the keyboard focus.
  useEffect(() => {
    fields.value = fieldsOf(search);
  }, [JSON.stringify(search)]);
  const { device, stream } = fields.value;
  const derived = telemetryFilter(device.trim(), stream.trim());
  const apply = (event: Event) => {
    event.preventDefault();
    const wanted = fields.value.filter.trim();
    goTo(
      here({
        device: device.trim(),
        stream: stream.trim(),
        filter: derived !== null || wanted === usualFilter() ? '' : wanted,
        where: fields.value.where.trim(),
      }),
    );
  };
  const change = (name: keyof typeof fields.value) => ({
    ...({ id: name, type: 'search', spellcheck: false, autocapitalize: 'off' } as const),
    value: fields.value[name],
    onInput: ({ currentTarget }: { currentTarget: HTMLInputElement }) => {
      fields.value = { ...fields.value, [name]: currentTarget.value };
    },
  });
  return (
    <search>
      <form class="filter messages" onSubmit={apply}>
        <div class="pair">
          <label for="filter">Topic filter</label>
          <input
            {...change('filter')}
            value={derived ?? fields.value.filter}
            disabled={derived !== null}
            placeholder="sensors/#, +/state, $SYS/#"
          />
        </div>
        <div class="pair">
          <label for="device">Device</label>
          <input {...change('device')} pattern={oneLevel} title={oneLevelAdvice} placeholder="bench-1" />
        </div>
        <div class="pair">
          <label for="stream">Stream</label>
          <input {...change('stream')} pattern={oneLevel} title={oneLevelAdvice} placeholder="motor" />
        </div>
        <div class="pair">
          <label for="where">Condition</label>
          <input {...change('where')} maxLength={2000} placeholder={'temperature > 80 and state = "on"'} />
        </div>
        <button type="submit">Filter</button>
      </form>
    </search>
  );
}
