import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type { DeviceInfo } from '../../../src/lib/registry/index.js';
import { type ApiError, get, getAll } from '../../app/api.js';
import { connected, onEvents } from '../../app/feed.js';

/** How long changes are gathered before they are asked for, ms. */
const settleMs = 500;
/** Beyond so many names at once, or characters of them, the whole list is read again, and then not for so long, ms. */
const mostNames = 100;
const mostCharacters = 3000;
const restMs = 5000;

export interface FleetList {
  /** By name; grows while it is read for the first time. undefined = nothing yet. */
  devices: readonly DeviceInfo[] | undefined;
  /** Whether all of it was read. */
  whole: boolean;
  error: ApiError | undefined;
}

/**
 * The devices that a selector matches, kept as they are: what events name is read again by itself, so that a fleet of ten thousand is
 * read once and not with each device that connects.
 */
export function useFleet(selector: string): FleetList {
  const list = useSignal<FleetList>({ devices: undefined, whole: false, error: undefined });

  useEffect(() => {
    const ended = new AbortController();
    const { signal } = ended;
    const byName = new Map<string, DeviceInfo>();
    const changed = new Set<string>();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let readAt = 0;

    const show = (whole: boolean) => {
      const devices = [...byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
      list.value = { devices, whole, error: undefined };
    };
    const failed = (error: ApiError) => {
      if (!signal.aborted) list.value = { ...list.value, error };
    };
    const readAll = async () => {
      readAt = Date.now();
      changed.clear();
      const query = selector === '' ? '' : `?selector=${encodeURIComponent(selector)}`;
      const first = !list.value.whole;
      const page = (sofar: DeviceInfo[]) => {
        // What is there already is shown until all of it was read anew.
        if (first) list.value = { devices: [...sofar], whole: false, error: undefined };
      };
      const all = await getAll<DeviceInfo>(`/devices${query}`, 'devices', { signal, page });
      byName.clear();
      for (const device of all) byName.set(device.name, device);
      show(true);
    };
    const readChanged = async () => {
      const names = [...changed];
      changed.clear();
      const wanted = `name in (${names.map((name) => `"${name}"`).join(', ')})`;
      const both = selector === '' ? wanted : `(${selector}) and ${wanted}`;
      const path = `/devices?limit=1000&selector=${encodeURIComponent(both)}`;
      const { devices } = await get<{ devices: DeviceInfo[] }>(path, signal);
      for (const name of names) byName.delete(name);
      for (const device of devices) byName.set(device.name, device);
      show(true);
    };
    const settle = () => {
      timer = undefined;
      if (changed.size === 0) return;
      const few = changed.size <= mostNames && [...changed].join().length <= mostCharacters;
      const rest = few ? 0 : readAt + restMs - Date.now();
      if (rest > 0) timer = setTimeout(settle, rest);
      else (few ? readChanged() : readAll()).catch(failed);
    };

    list.value = { devices: undefined, whole: false, error: undefined };
    readAll().catch(failed);
    const endEvents = onEvents(['device.*'], ({ subject }) => {
      changed.add(subject);
      timer ??= setTimeout(settle, settleMs);
    });
    let before = connected.peek();
    const endConnected = connected.subscribe((now) => {
      if (now && !before) readAll().catch(failed);
      before = now;
    });
    return () => {
      ended.abort();
      endEvents();
      endConnected();
      clearTimeout(timer);
    };
  }, [selector]);
  return list.value;
}
