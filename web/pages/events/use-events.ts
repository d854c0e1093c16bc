import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type { EventPage, PlatformEvent } from '../../../src/lib/registry/index.js';
import { type ApiError, get } from '../../app/api.js';
import { connected, onEvents } from '../../app/feed.js';

/** What is kept of them here; the platform has the rest. */
export const most = 10_000;
/** Of those from before the page was opened. */
const before = 1000;
/** Those of one moment are drawn at once, ms. */
const settleMs = 200;

/** Events of these types about this, newest first: some from before, and those to come, each once, also after a break. */
export function useEvents(
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
      const query = new URLSearchParams({
        ...(types === '' ? {} : { type: types }),
        ...(subject === '' ? {} : { subject }),
        ...(last === undefined ? { newest: String(before) } : { from: String(last) }),
        limit: String(before),
      });
      const page = await get<EventPage>(`/events?${query}`, signal);
      if (signal.aborted) return;
      error.value = undefined;
      add(page.events);
      // Of a long break the rest.
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

/** As the platform has it: `har` stands for all of its versions. */
function isAbout({ subject }: PlatformEvent, wanted: string): boolean {
  return wanted === '' || subject === wanted || subject.startsWith(`${wanted}@`);
}

/** Newest first, each once. */
function merged(known: readonly PlatformEvent[], more: readonly PlatformEvent[]): PlatformEvent[] {
  const by = new Map([...known, ...more].map((event) => [event.id, event]));
  return [...by.values()].sort((a, b) => b.id - a.id).slice(0, most);
}
