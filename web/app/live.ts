import { computed, signal } from '@preact/signals';
import type {
  DeviceMessage,
  LiveChannel,
  LiveMessage,
  LiveNews,
  LiveRequest,
  LogLine,
  liveBeatMs,
  PlatformEvent,
} from '../../src/lib/api/index.js';
import { backOffMs, withJitter } from '../../src/lib/core/back-off.js';
import { loadSession } from './session.js';

/**
 * State of the live connection, which is shared by all parts of the page. `waiting`: the next attempt is at `at`, ms since 1970.
 * `refused`: the platform responds to other requests, but rejects this connection.
 */
type LiveState =
  | { is: 'connecting' | 'open' }
  | { is: 'waiting'; why: 'unreachable' | 'refused'; at: number };
export const liveState = signal<LiveState>({ is: 'connecting' });

/** Whether the live connection is open. Pages reload their data when it reopens after an interruption. */
export const connected = computed(() => liveState.value.is === 'open');

/** A request without the id of its subscription. */
type Wanted = LiveRequest extends infer Request
  ? Request extends unknown
    ? Omit<Request, 'id'>
    : never
  : never;

interface Subscription {
  wanted: Wanted;
  take: (news: LiveNews) => void;
}

const subscriptions = new Map<number, Subscription>();
let lastId = 0;

let socket: WebSocket | undefined;
let wanted = false;
let failures = 0;
let timer: ReturnType<typeof setTimeout> | undefined;
/** Time at which data last arrived, ms since 1970. */
let heard = 0;

/** Delay before the second attempt, and the maximum delay, ms. */
const firstDelayMs = 1000;
const longestDelayMs = 30_000;

/** Must equal the platform's `liveBeatMs`, which the type ensures. Importing the value would load the platform's code. */
const beatMs: typeof liveBeatMs = 15_000;

/** Silence after which the connection is considered dead, ms. */
const silenceMs = 2.5 * beatMs;

type Listener = (event: PlatformEvent) => void;
const listeners = new Set<{ types: readonly string[]; listener: Listener }>();

/** Opens the live connection. Resolves when it is open, or after one second. */
export function openLive(): Promise<void> {
  wanted = true;
  failures = 0;
  open();
  const patience = 1000;
  return new Promise((resolve) => {
    const end = connected.subscribe((isOpen) => isOpen && resolve());
    setTimeout(() => {
      end();
      resolve();
    }, patience);
  });
}

export function closeLive(): void {
  wanted = false;
  close();
}

/** Connects now instead of after the delay. */
export function reconnect(): void {
  open();
}

/** Subscribes to events of these types, such as `device.*` or `rollout.move`. Returns a function that unsubscribes. */
export function onEvents(types: readonly string[], listener: Listener): () => void {
  const entry = { types, listener };
  listeners.add(entry);
  return () => listeners.delete(entry);
}

/** Subscribes to a device's messages on these channels, across reconnections. Returns a function that unsubscribes. */
export function onDevice(
  device: string,
  channels: LiveChannel[],
  take: (channel: LiveChannel, message: DeviceMessage) => void,
): () => void {
  return subscribe({ to: 'device', device, channels }, (news) => {
    if ('deviceMessage' in news) take(news.channel, news.deviceMessage);
  });
}

interface MessageTakers {
  message: (message: LiveMessage) => void;
  /** Called with the number of messages dropped because they arrived too fast. */
  missed: (count: number) => void;
  /** Called when the subscription has begun. If the platform rejects it, `refused` is called instead. */
  open: () => void;
  refused: (error: { code: string; detail: string; next?: string }) => void;
}

/** Subscribes to MQTT messages on a filter, across reconnections. Returns a function that unsubscribes. */
export function onMessages(filter: string, takers: MessageTakers): () => void {
  return subscribe({ to: 'messages', filter }, (news) => {
    if ('message' in news) takers.message(news.message);
    else if ('missed' in news) takers.missed(news.missed);
    else if ('open' in news) takers.open();
    else if ('error' in news) takers.refused(news.error);
  });
}

/** Subscribes to new log lines of many devices, across reconnections. Returns a function that unsubscribes. */
export function onLogs(
  search: Omit<Extract<LiveRequest, { to: 'logs' }>, 'id' | 'to'>,
  takers: Omit<MessageTakers, 'message'> & { line: (line: LogLine) => void },
): () => void {
  return subscribe({ to: 'logs', ...search }, (news) => {
    if ('line' in news) takers.line(news.line);
    else if ('missed' in news) takers.missed(news.missed);
    else if ('open' in news) takers.open();
    else if ('error' in news) takers.refused(news.error);
  });
}

function subscribe(wants: Wanted, take: (news: LiveNews) => void): () => void {
  const id = ++lastId;
  subscriptions.set(id, { wanted: wants, take });
  ask(id, wants);
  return () => {
    subscriptions.delete(id);
    ask(id, { to: 'nothing' });
  };
}

function ask(id: number, wants: Wanted): void {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ id, ...wants }));
}

function matches(pattern: string, type: string): boolean {
  return (
    pattern === '*' || pattern === type || (pattern.endsWith('.*') && type.startsWith(pattern.slice(0, -1)))
  );
}

/**
 * Receives events for all pages. The connection is considered open once this subscription has begun, or has been rejected because a
 * scope is missing.
 */
function takeEvents(news: LiveNews): void {
  if ('open' in news || 'error' in news) {
    failures = 0;
    liveState.value = { is: 'open' };
  }
  if (!('event' in news)) return;
  for (const { types, listener } of [...listeners]) {
    if (types.some((type) => matches(type, news.event.type))) listener(news.event);
  }
}
subscriptions.set(++lastId, { wanted: { to: 'events' }, take: takeEvents });

function open(): void {
  if (socket || !wanted || document.hidden) return;
  clearTimeout(timer);
  // During later attempts, the reason for the interruption stays visible.
  if (liveState.value.is !== 'waiting') liveState.value = { is: 'connecting' };
  const own = new WebSocket(`wss://${location.host}/live`);
  socket = own;
  heard = Date.now();
  own.onopen = () => {
    for (const [id, { wanted: wants }] of subscriptions) ask(id, wants);
  };
  own.onmessage = ({ data }: MessageEvent<string>) => {
    heard = Date.now();
    const news = JSON.parse(data) as LiveNews;
    if ('id' in news) subscriptions.get(news.id)?.take(news);
  };
  own.onclose = () => {
    if (socket === own) lost();
  };
}

/** Reconnects after an interruption, with increasing delays. The session is loaded to find the reason, which browsers do not report. */
function lost(): void {
  socket?.close();
  socket = undefined;
  if (!wanted || document.hidden) return;
  failures++;
  const delay = withJitter(backOffMs(failures, firstDelayMs, longestDelayMs));
  const at = Date.now() + delay;
  const before = liveState.peek();
  const why = before.is === 'waiting' ? before.why : 'unreachable';
  liveState.value = { is: 'waiting', why, at };
  clearTimeout(timer);
  timer = setTimeout(open, delay);
  // If the session has expired, this shows the login. A single lost connection is not considered a rejection.
  loadSession().then(
    () => failures > 1 && settle('refused', at),
    () => settle('unreachable', at),
  );
}

function settle(why: 'unreachable' | 'refused', at: number): void {
  const state = liveState.peek();
  if (state.is === 'waiting' && state.at === at && state.why !== why) liveState.value = { ...state, why };
}

function close(): void {
  clearTimeout(timer);
  const own = socket;
  socket = undefined;
  own?.close();
  liveState.value = { is: 'connecting' };
}

// A connection can be dead without a close event, for example after the machine has been suspended.
setInterval(() => {
  if (socket && Date.now() - heard > silenceMs) lost();
}, 5000);
addEventListener('online', () => open());

// Hidden tabs close their connection, because their data is not visible.
document.addEventListener('visibilitychange', () => (document.hidden ? close() : open()));
