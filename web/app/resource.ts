import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { type ApiError, get, getAll } from './api.js';
import { connected, onEvents } from './feed.js';

export interface Resource<T> {
  /** undefined = not there yet. What was there stays while it is read again. */
  value: T | undefined;
  error: ApiError | undefined;
  reload(): void;
}

/** Rises each time that the platform's events come again after a break. */
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

/** How soon what changed is read again, ms: many events of one moment are one request. */
const settleMs = 400;

/**
 * What the platform has at a path, read again when an event of these types comes and when the platform is back. null = nothing.
 * `all`: a list, read to its end, whose entries the answer names so. `subject`: only events about it.
 */
export function useResource<T>(
  path: string | null,
  { events = [], all, subject }: { events?: readonly string[]; all?: string; subject?: string } = {},
): Resource<T> {
  const value = useSignal<T | undefined>(undefined);
  const error = useSignal<ApiError | undefined>(undefined);
  const asked = useSignal(0);
  const heard = useHeard();
  const types = events.join(',');

  useEffect(() => {
    value.value = undefined;
    error.value = undefined;
  }, [path]);
  useEffect(() => {
    if (path === null) return;
    const controller = new AbortController();
    const { signal } = controller;
    const answer = all === undefined ? get<T>(path, signal) : (getAll(path, all, { signal }) as Promise<T>);
    answer.then(
      (found) => {
        if (signal.aborted) return;
        value.value = found;
        error.value = undefined;
      },
      (reason: ApiError) => {
        if (!signal.aborted) error.value = reason;
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
  return { value: value.value, error: error.value, reload: () => asked.value++ };
}
