import type { Rollout } from '../../../src/lib/api/index.js';
import { releaseText } from '../../../src/lib/api/rollouts/words.js';
import { at } from '../../app/api.js';
import type { PageOf } from '../../app/pages.js';
import { useNewestModel, useResource } from '../../app/resource.js';
import { here, linkTo, route } from '../../app/route.js';
import { mayChange } from '../../app/session.js';
import { Badge } from '../../parts/badge.js';
import { Empty, Failure, Loading, Page } from '../../parts/page.js';
import { Pages } from '../../parts/pages.js';
import { type Column, Table } from '../../parts/table.js';
import { When } from '../../parts/when.js';
import { Bar } from './bar.js';
import { NewRollout } from './new.js';
import { OneRollout } from './rollout.js';
import { SettingsRollout } from './settings.js';
import { countsOf, devicesOf, toneOf, words } from './states.js';

const columns: Column<Rollout>[] = [
  {
    title: 'release',
    cell: ({ releases }) => releasesText(releases),
    sort: ({ releases }) => releasesText(releases),
    width: '1.4fr',
  },
  {
    title: 'state',
    cell: ({ state }) => <Badge tone={toneOf[state]}>{words(state)}</Badge>,
    sort: ({ state }) => words(state),
  },
  {
    title: 'progress',
    cell: (rollout) => <Bar counts={countsOf(rollout)} devices={devicesOf(rollout)} />,
    sort: (rollout) => countsOf(rollout).committed / Math.max(1, devicesOf(rollout)),
    width: '1.6fr',
  },
  {
    title: 'committed',
    cell: (rollout) =>
      `${countsOf(rollout).committed.toLocaleString('en')} of ${devicesOf(rollout).toLocaleString('en')}`,
    sort: (rollout) => countsOf(rollout).committed,
    number: true,
    wide: true,
  },
  {
    title: 'selector',
    cell: ({ selector }) => <code>{selector}</code>,
    sort: ({ selector }) => selector,
    width: '1.4fr',
    wide: true,
  },
  {
    title: 'started',
    cell: ({ created }) => <When at={created} as="ago" />,
    sort: ({ created }) => created,
    wide: true,
  },
  { title: 'user', cell: ({ by }) => by, sort: ({ by }) => by, wide: true },
];

function releasesText(releases: Rollout['releases']): string {
  return releases.map(releaseText).join(' + ');
}

const atATime = 500;

/** The rollouts, one of them, or a form for a new one. */
export function Rollouts({ parts: [id] }: PageOf) {
  if (id === 'new') return <NewRollout />;
  if (id === 'settings') return <SettingsRollout />;
  return id === undefined ? <AllRollouts /> : <OneRollout key={id} id={id} />;
}

function AllRollouts() {
  const after = route.value.query.get('after') ?? '';
  const query = { limit: atATime, after: after || undefined };
  const { value, error } = useResource(at('GET /rollouts', {}, query), {
    events: ['rollout.*'],
  });
  return (
    <Page
      title="Rollouts"
      command="aiot rollout list"
      actions={
        mayChange() && (
          <>
            <a href={linkTo(['rollouts', 'settings'])}>Roll out settings</a>
            <a href={linkTo(['rollouts', 'new'])}>New rollout</a>
          </>
        )
      }
    >
      {error && <Failure error={error} />}
      {!value && !error && <Loading />}
      {value && value.rollouts.length === 0 && <None />}
      {value && value.rollouts.length > 0 && (
        <>
          <Table
            rows={value.rollouts}
            columns={columns}
            keyOf={({ id }) => id}
            to={({ id }) => linkTo(['rollouts', id])}
            label="Rollouts"
            filter
          />
          <Pages
            first={after === '' ? null : here({ after: '' })}
            next={value.next === null ? null : here({ after: value.next })}
          />
        </>
      )}
    </Page>
  );
}

function None() {
  const model = useNewestModel();
  if (model === undefined) return <Loading />;
  return (
    <Empty title="No rollouts yet" command={`aiot model deploy ${model} --selector all`}>
      <p>
        A rollout delivers a version to devices in waves, and stops automatically if too many devices fail.
      </p>
    </Empty>
  );
}
