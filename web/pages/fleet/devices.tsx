import { useSignal } from '@preact/signals';
import type { DeviceInfo } from '../../../src/lib/registry/index.js';
import type { PageOf } from '../../app/pages.js';
import { useResource } from '../../app/resource.js';
import { goTo, linkTo, route } from '../../app/route.js';
import { ago, plural, shellWord } from '../../app/text.js';
import { Badge, State } from '../../parts/badge.js';
import { Empty, Failure, Loading, Page } from '../../parts/page.js';
import { type Column, Table } from '../../parts/table.js';

const columns: Column<DeviceInfo>[] = [
  { title: 'name', cell: ({ name }) => name, sort: ({ name }) => name, width: '2fr' },
  { title: 'state', cell: ({ state }) => <State state={state} />, sort: ({ state }) => state },
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

/** The fleet, or the part of it that a selector matches. */
export function Devices(_: PageOf) {
  const selector = route.value.query.get('selector') ?? '';
  const query = selector === '' ? '' : `?selector=${encodeURIComponent(selector)}`;
  const { value, error } = useResource<DeviceInfo[]>(`/devices${query}`, {
    all: 'devices',
    events: ['device.*'],
  });
  const line = `aiot device list${selector === '' ? '' : ` --selector ${shellWord(selector)}`}`;
  return (
    <Page title="Devices" command={line}>
      <Filter selector={selector} />
      {error && <Failure error={error} />}
      {!value && !error && <Loading />}
      {value && value.length === 0 && (
        <Empty
          title={selector === '' ? 'No device yet' : 'No device fits'}
          command={
            selector === ''
              ? 'aiot device provision bench-1 --type virtual --out bench-1'
              : 'aiot device list'
          }
        />
      )}
      {value && value.length > 0 && (
        <>
          <p class="count">
            {plural(value.length, 'device')}, {value.filter(({ online }) => online).length} online
          </p>
          <Table
            rows={value}
            columns={columns}
            keyOf={({ name }) => name}
            to={({ name }) => linkTo(['devices', name])}
            label="Devices"
          />
        </>
      )}
    </Page>
  );
}

function Filter({ selector }: { selector: string }) {
  const text = useSignal(selector);
  const apply = (event: Event) => {
    event.preventDefault();
    goTo(linkTo(['devices'], { selector: text.value.trim() }));
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
