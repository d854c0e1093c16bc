import { useSignal } from '@preact/signals';
import type { DeviceInfo } from '../../../src/lib/registry/index.js';
import type { PageOf } from '../../app/pages.js';
import { goTo, linkTo, route } from '../../app/route.js';
import { ago, plural, shellWord } from '../../app/text.js';
import { Badge, State } from '../../parts/badge.js';
import { Empty, Failure, Loading, Page } from '../../parts/page.js';
import { type Column, Table } from '../../parts/table.js';
import { useFleet } from './fleet-list.js';
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
    title: 'presence',
    cell: ({ online, lastSeen }) =>
      online ? (
        <Badge tone="good">online</Badge>
      ) : (
        <span class="soft">{lastSeen === null ? 'never seen' : ago(lastSeen)}</span>
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

/** The fleet, or the part of it that a selector matches: as a table, or as a map of cells. */
export function Devices(_: PageOf) {
  const { query } = route.value;
  const selector = query.get('selector') ?? '';
  const asMap = query.get('view') === 'map';
  const { devices, whole, error } = useFleet(selector);
  const line = `aiot device list${selector === '' ? '' : ` --selector ${shellWord(selector)}`}`;
  return (
    <Page title="Devices" command={line}>
      <Filter key={selector} selector={selector} view={asMap ? 'map' : ''} />
      {error && <Failure error={error} />}
      {!devices && !error && <Loading />}
      {devices && whole && devices.length === 0 && (
        <Empty
          title={selector === '' ? 'No device yet' : 'No device fits'}
          command={
            selector === ''
              ? 'aiot device provision bench-1 --type virtual --out bench-1'
              : 'aiot device list'
          }
        />
      )}
      {devices && devices.length > 0 && (
        <>
          <p class="count">
            {plural(devices.length, 'device')}
            {whole
              ? `, ${devices.filter(({ online }) => online).length.toLocaleString('en')} online`
              : ' so far …'}
            <span class="switch">
              <a href={linkTo(['devices'], { selector })} aria-current={asMap ? undefined : 'true'}>
                Table
              </a>
              <a
                href={linkTo(['devices'], { selector, view: 'map' })}
                aria-current={asMap ? 'true' : undefined}
              >
                Map
              </a>
            </span>
          </p>
          {asMap ? (
            <FleetMap devices={devices} />
          ) : (
            <Table
              rows={devices}
              columns={columns}
              keyOf={({ name }) => name}
              to={({ name }) => linkTo(['devices', name])}
              label="Devices"
            />
          )}
        </>
      )}
    </Page>
  );
}

function Filter({ selector, view }: { selector: string; view: string }) {
  const text = useSignal(selector);
  const apply = (event: Event) => {
    event.preventDefault();
    goTo(linkTo(['devices'], { selector: text.value.trim(), view }));
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
        <button type="submit">Show</button>
      </form>
    </search>
  );
}
