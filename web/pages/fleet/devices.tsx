import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type { DeviceInfo } from '../../../src/lib/api/index.js';
import { type ApiError, at, get, getAll } from '../../app/api.js';
import { connected, onEvents } from '../../app/live.js';
import type { PageOf } from '../../app/pages.js';
import { goTo, here, linkTo, route } from '../../app/route.js';
import { isLimited, mayChange } from '../../app/session.js';
import { plural, selectorOf, shellWord } from '../../app/text.js';
import { Badge, State } from '../../parts/badge.js';
import { Empty, Failure, Loading, Page } from '../../parts/page.js';
import { type Column, Table } from '../../parts/table.js';
import { When } from '../../parts/when.js';
import { Bulk, ChangeMany, type Many } from './bulk.js';
import { saveCsv } from './csv.js';
import { LogLevels } from './log-levels.js';
import { FleetMap } from './map.js';

const columns: Column<DeviceInfo>[] = [
  { title: 'name', cell: ({ name }) => name, sort: ({ name }) => name, width: '1.4fr' },
  {
    title: 'state',
    cell: ({ state }) => <State state={state} />,
    sort: ({ state }) => state,
    width: '1.3fr',
  },
  {
    title: 'last seen',
    cell: ({ online, lastSeen }) =>
      online ? (
        <Badge tone="good">online</Badge>
      ) : (
        <span class="soft">{lastSeen === null ? 'never seen' : <When at={lastSeen} as="ago" />}</span>
      ),
    sort: ({ online, lastSeen }) => (online ? Number.POSITIVE_INFINITY : lastSeen),
    width: '1.3fr',
  },
  { title: 'type', cell: ({ type }) => type, sort: ({ type }) => type, wide: true },
  {
    title: 'model',
    cell: ({ model }) => (model ? `${model.name}@${model.version}` : <span class="soft">none</span>),
    sort: ({ model }) => (model ? `${model.name}@${model.version}` : null),
    wide: true,
  },
  { title: 'firmware', cell: ({ firmware }) => firmware ?? '', sort: ({ firmware }) => firmware, wide: true },
];

/** The fleet, or the devices that match a selector, as a table or as a map of cells. */
export function Devices(_: PageOf) {
  const { query } = route.value;
  const selector = query.get('selector') ?? '';
  const asMap = query.get('view') === 'map';
  const { devices, whole, error } = useFleet(selector);
  const chosen = useSignal<ReadonlySet<string>>(new Set());
  const many = useSignal<Many | null>(null);
  const closeMany = () => {
    many.value = null;
  };
  // Devices that no longer match the selector are no longer chosen.
  const selected = (devices ?? []).filter(({ name }) => chosen.value.has(name));
  const isAll = whole && selected.length === devices?.length;
  const all = selector === '' ? 'all' : selector;
  const change = (names: readonly string[], isChosen: boolean) => {
    const next = new Set(chosen.value);
    for (const name of names) isChosen ? next.add(name) : next.delete(name);
    chosen.value = next;
  };
  const clear = () => {
    chosen.value = new Set();
  };
  const line = `aiot device list${selector === '' ? '' : ` --selector ${shellWord(selector)}`}`;
  return (
    <Page
      title="Devices"
      command={line}
      actions={
        mayChange() &&
        !isLimited() && (
          <>
            <a href={linkTo(['add-device'])}>Add a device</a>
            <a href={linkTo(['add-board'])}>Add a board</a>
          </>
        )
      }
    >
      <Filter key={selector} selector={selector} />
      {error && <Failure error={error} />}
      {!devices && !error && <Loading />}
      {devices && whole && devices.length === 0 && (
        <Empty
          title={selector === '' ? 'No devices yet' : 'No matching devices'}
          command={
            selector === ''
              ? 'aiot device provision bench-1 --type virtual --out bench-1'
              : 'aiot device list'
          }
        >
          <p>
            {selector === ''
              ? 'Add a device. A virtual one needs no hardware:'
              : 'Change the selector, or list all devices:'}
          </p>
        </Empty>
      )}
      {devices && devices.length > 0 && (
        <>
          <p class="count">
            {plural(devices.length, 'device')}
            {whole
              ? `, ${devices.filter(({ online }) => online).length.toLocaleString('en')} online`
              : ' loaded so far …'}
            <span class="switch">
              {whole && (
                <button
                  type="button"
                  class="link"
                  onClick={() => saveCsv(selected.length > 0 ? selected : devices)}
                >
                  Export CSV
                </button>
              )}
              <a href={here({ view: '' })} aria-current={asMap ? undefined : 'true'}>
                Table
              </a>
              <a href={here({ view: 'map' })} aria-current={asMap ? 'true' : undefined}>
                Map
              </a>
              <a href={linkTo(['history'], { selector })}>History</a>
              <a href={linkTo(['remote'])} aria-label="Remote sessions">
                Remote
              </a>
            </span>
          </p>
          {!asMap && selected.length > 0 && (
            <Bulk
              devices={selected}
              selector={isAll ? all : selectorOf(selected.map(({ name }) => name))}
              onChange={(next) => {
                many.value = next;
              }}
              onClear={clear}
            />
          )}
          {asMap ? (
            <FleetMap devices={devices} />
          ) : (
            <Table
              rows={devices}
              columns={columns}
              keyOf={({ name }) => name}
              to={({ name }) => linkTo(['devices', name])}
              label="Devices"
              choice={mayChange() ? { keys: chosen.value, change, isWhole: whole } : undefined}
            />
          )}
        </>
      )}
      {
        // It remains open when the change takes the devices out of the list.
        many.value?.what === 'labels' && <ChangeMany many={many.value} onClose={closeMany} />
      }
      {many.value?.what === 'log level' && <LogLevels many={many.value} onClose={closeMany} />}
    </Page>
  );
}

function Filter({ selector }: { selector: string }) {
  const text = useSignal(selector);
  const apply = (event: Event) => {
    event.preventDefault();
    goTo(here({ selector: text.value.trim() }));
  };
  return (
    <search>
      <form class="filter" onSubmit={apply}>
        <label for="selector">Selector</label>
        <input
          id="selector"
          type="search"
          placeholder="type=esp32 and fw<1.4 and not online=true"
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

/** Delay after an event, ms. Devices that change in the meantime are read with the same request. */
const settleMs = 500;
/**
 * If more devices than this have changed, or their names have more characters than `mostCharacters`, the whole list is reread, at most
 * once per `restMs`.
 */
const mostNames = 100;
const mostCharacters = 3000;
const restMs = 5000;

interface FleetList {
  /** The devices, sorted by name. The list grows during the first read; undefined = nothing has been read yet. */
  devices: readonly DeviceInfo[] | undefined;
  /** Whether the list is complete. */
  whole: boolean;
  error: ApiError | undefined;
}

/**
 * The devices that match a selector, kept up to date. Only devices named in events are reread. Otherwise, a fleet of ten thousand would be
 * read whenever a device connects.
 */
function useFleet(selector: string): FleetList {
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
      const first = !list.value.whole;
      const page = (sofar: DeviceInfo[]) => {
        // The old list remains visible until the new one is complete.
        if (first) list.value = { devices: [...sofar], whole: false, error: undefined };
      };
      const all = await getAll(at('GET /devices', {}, { selector: selector || undefined }), 'devices', {
        signal,
        page,
      });
      byName.clear();
      for (const device of all) byName.set(device.name, device);
      show(true);
    };
    const readChanged = async () => {
      const names = [...changed];
      changed.clear();
      const wanted = `name in (${names.map((name) => `"${name}"`).join(', ')})`;
      const both = selector === '' ? wanted : `(${selector}) and ${wanted}`;
      const { devices } = await get(at('GET /devices', {}, { limit: 1000, selector: both }), signal);
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
