import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { type AnswerOf, type ApiError, at, get, getAll, type Place, type Reads } from './api.js';
import { connected, onEvents } from './live.js';

export interface Resource<T> {
  /** The data; undefined = not loaded yet. During a reload, the old value stays available. */
  value: T | undefined;
  error: ApiError | undefined;
  reload(): void;
}

/** Returns the number of times that the live connection was restored after an interruption. */
function useHeard(): number {
  const count = useSignal(0);
  useEffect(() => {
    let before = connected.peek();
    return connected.subscribe((now) => {
      if (now && !before) count.value++;
      before = now;
    });
  }, []);
  return count.value;
}

/** Delay between an event and the next read, ms, so that many simultaneous events cause only one request. */
const settleMs = 400;

/**
 * Reads data from the platform, and rereads it when an event of these types arrives or the connection is restored. If `place` is null,
 * nothing is read. `all` is the name of the entries of a list, in which case all pages are read. `subject` restricts the events to one
 * subject.
 */
export function useResource<R extends Reads, Noun extends keyof AnswerOf<R> = never>(
  place: Place<R> | null,
  { events = [], all, subject }: { events?: readonly string[]; all?: Noun; subject?: string } = {},
): Resource<[Noun] extends [never] ? AnswerOf<R> : AnswerOf<R>[Noun]> {
  type T = [Noun] extends [never] ? AnswerOf<R> : AnswerOf<R>[Noun];
  const path = place?.path;
  // Each answer names its path: an answer to another path is never shown, not even in the render in which the path changes.
  const answered = useSignal<{ path: string; value?: T; error?: ApiError } | undefined>(undefined);
  const asked = useSignal(0);
  const heard = useHeard();
  const types = events.join(',');

  useEffect(() => {
    if (place === null) return;
    const controller = new AbortController();
    const { signal } = controller;
    const answer = (all === undefined ? get(place, signal) : getAll(place, all, { signal })) as Promise<T>;
    answer.then(
      (found) => {
        if (!signal.aborted) answered.value = { path: place.path, value: found };
      },
      (reason: ApiError) => {
        if (signal.aborted) return;
        const before = answered.peek();
        const value = before?.path === place.path ? before.value : undefined;
        answered.value = { path: place.path, value, error: reason };
      },
    );
    return () => controller.abort();
  }, [path, heard, asked.value]);
  useEffect(() => {
    if (types === '') return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const end = onEvents(types.split(','), (event) => {
      if (subject !== undefined && event.subject !== subject) return;
      timer ??= setTimeout(() => {
        timer = undefined;
        asked.value++;
      }, settleMs);
    });
    return () => {
      end();
      clearTimeout(timer);
    };
  }, [types, subject]);
  const current = answered.value?.path === path ? answered.value : undefined;
  return { value: current?.value, error: current?.error, reload: () => asked.value++ };
}

/** The first device by name, for suggested commands; without devices, the device of the first steps. Undefined until known. */
export function useFirstDevice(): { name: string; exists: boolean } | undefined {
  const { value, error } = useResource(at('GET /devices', {}, { limit: 1 }), { events: ['device.*'] });
  const name = value?.devices[0]?.name;
  if (name !== undefined) return { name, exists: true };
  return value || error ? { name: 'bench-1', exists: false } : undefined;
}

/** The newest model with its version, for suggested commands; without models, that of the first steps. Undefined until known. */
export function useNewestModel(): string | undefined {
  const { value, error } = useResource(at('GET /models', {}), { all: 'models', events: ['model.*'] });
  const [newest] = [...(value ?? [])].sort((a, b) => b.latest.pushed - a.latest.pushed);
  if (newest) return `${newest.name}@${newest.latest.version}`;
  return value || error ? 'watch@1' : undefined;
}
