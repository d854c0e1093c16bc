import type { Rollout } from '../../../src/lib/registry/index.js';
import type { PageOf } from '../../app/pages.js';
import { useResource } from '../../app/resource.js';
import { linkTo, route } from '../../app/route.js';
import { ago } from '../../app/text.js';
import { Badge } from '../../parts/badge.js';
import { Empty, Failure, Loading, Page } from '../../parts/page.js';
import { Pages } from '../../parts/pages.js';
import { type Column, Table } from '../../parts/table.js';
import { Bar } from './bar.js';
import { OneRollout } from './rollout.js';
import { countsOf, devicesOf, toneOf, words } from './states.js';

const columns: Column<Rollout>[] = [
  {
    title: 'what',
    cell: ({ releases }) => releases.map(({ name, version }) => `${name}@${version}`).join(' + '),
    width: '1.4fr',
  },
  { title: 'state', cell: ({ state }) => <Badge tone={toneOf[state]}>{words(state)}</Badge> },
  {
    title: 'progress',
    cell: (rollout) => <Bar counts={countsOf(rollout)} devices={devicesOf(rollout)} />,
    width: '1.6fr',
  },
  {
    title: 'committed',
    cell: (rollout) =>
      `${countsOf(rollout).committed.toLocaleString('en')} / ${devicesOf(rollout).toLocaleString('en')}`,
    number: true,
    wide: true,
  },
  { title: 'to', cell: ({ selector }) => <code>{selector}</code>, width: '1.4fr', wide: true },
  { title: 'started', cell: ({ created }) => ago(created), wide: true },
  { title: 'by', cell: ({ by }) => by, wide: true },
];

const atATime = 100;

/** The rollouts, or one of them. */
export function Rollouts({ parts: [id] }: PageOf) {
  return id === undefined ? <AllRollouts /> : <OneRollout key={id} id={id} />;
}

function AllRollouts() {
  const after = route.value.query.get('after') ?? '';
  const query = new URLSearchParams({ limit: String(atATime), ...(after === '' ? {} : { after }) });
  const { value, error } = useResource<{ rollouts: Rollout[]; next: string | null }>(`/rollouts?${query}`, {
    events: ['rollout.*'],
  });
  return (
    <Page title="Rollouts" command="aiot ota list">
      {error && <Failure error={error} />}
      {!value && !error && <Loading />}
      {value && value.rollouts.length === 0 && (
        <Empty title="No rollout yet" command="aiot model deploy motor-watch@1 --to all">
          <p>A version goes to devices in waves, which stop by themselves when a device refuses it.</p>
        </Empty>
      )}
      {value && value.rollouts.length > 0 && (
        <>
          <Table
            rows={value.rollouts}
            columns={columns}
            keyOf={({ id }) => id}
            to={({ id }) => linkTo(['rollouts', id])}
            label="Rollouts"
          />
          <Pages
            first={after === '' ? null : linkTo(['rollouts'])}
            next={value.next === null ? null : linkTo(['rollouts'], { after: value.next })}
          />
        </>
      )}
    </Page>
  );
}
