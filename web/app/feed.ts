import { signal } from '@preact/signals';
import type { PlatformEvent } from '../../src/lib/api/index.js';

/** Whether the event stream is connected. After an interruption, pages read their data again. */
export const connected = signal(false);

type Listener = (event: PlatformEvent) => void;
const listeners = new Set<{ types: readonly string[]; listener: Listener }>();
let source: EventSource | undefined;
let wanted = false;

/** Opens the event stream that all pages share. Resolves when it is open, or after one second. */
export function openFeed(): Promise<void> {
  wanted = true;
  open();
  const patience = 1000;
  return new Promise((resolve) => {
    const end = connected.subscribe((open) => open && resolve());
    setTimeout(resolve, patience);
    return end;
  });
}

export function closeFeed(): void {
  wanted = false;
  close();
}

/** Calls back with each event of these types (`device.*`, `rollout.move`) from now on. Returns a function that unsubscribes. */
export function onEvents(types: readonly string[], listener: Listener): () => void {
  const entry = { types, listener };
  listeners.add(entry);
  return () => listeners.delete(entry);
}

function matches(pattern: string, type: string): boolean {
  return (
    pattern === '*' || pattern === type || (pattern.endsWith('.*') && type.startsWith(pattern.slice(0, -1)))
  );
}

function open(): void {
  if (source || !wanted || document.hidden) return;
  const own = new EventSource('/api/v1/events?from=now');
  source = own;
  own.onopen = () => {
    connected.value = true;
  };
  own.onmessage = ({ data }: MessageEvent<string>) => {
    const event = JSON.parse(data) as PlatformEvent;
    for (const { types, listener } of [...listeners]) {
      if (types.some((type) => matches(type, event.type))) listener(event);
    }
  };
  own.onerror = () => {
    connected.value = false;
    // A browser does not reconnect after a rejected connection, so this is done here.
    if (own.readyState === EventSource.CLOSED && source === own) {
      source = undefined;
      setTimeout(open, 2000);
    }
  };
}

function close(): void {
  source?.close();
  source = undefined;
  connected.value = false;
}

// Browsers limit the connections per host, so hidden tabs close their event stream.
document.addEventListener('visibilitychange', () => (document.hidden ? close() : open()));
