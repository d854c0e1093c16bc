import type { RolloutDeviceInfo, RolloutDeviceState, RolloutStatus } from '../../../src/lib/api/index.js';
import { proofWords, stepWord } from '../../../src/lib/api/rollouts/words.js';
import { at } from '../../app/api.js';
import { useResource } from '../../app/resource.js';
import { goTo, here, linkTo, route } from '../../app/route.js';
import { lasting, withZone } from '../../app/text.js';
import { Badge } from '../../parts/badge.js';
import { Failure, Section } from '../../parts/page.js';
import { Pages } from '../../parts/pages.js';
import { type Column, Table } from '../../parts/table.js';
import { countsOf, shares, toneOfDevice, words } from './states.js';

const proofs = {
  proven: <Badge tone="good">{proofWords.proven}</Badge>,
  said: <Badge tone="soft">{proofWords.said}</Badge>,
  refused: <Badge tone="bad">{proofWords.refused}</Badge>,
};

const columns: Column<RolloutDeviceInfo>[] = [
  { title: 'device', cell: ({ name }) => name, sort: ({ name }) => name, width: '1.4fr' },
  { title: 'wave', cell: ({ wave }) => wave + 1, sort: ({ wave }) => wave, width: '64px', wide: true },
  {
    title: 'state',
    cell: ({ state, times }) => (
      <>
        <Badge tone={toneOfDevice(state)}>{words(state)}</Badge>{' '}
        {times.crashed !== undefined && <Badge tone="bad">crashed</Badge>}
      </>
    ),
    sort: ({ state }) => words(state),
    width: '1.1fr',
  },
  {
    title: 'progress',
    cell: ({ times, proof }) => (
      <>
        {proof && proofs[proof.state]} <Trail times={times} />
      </>
    ),
    sort: ({ times }) => stations.filter((station) => times[station] !== undefined).length,
    width: '2fr',
    wide: true,
  },
  {
    title: 'duration',
    cell: ({ times: { offered, committed } }) =>
      offered === undefined || committed === undefined ? '' : lasting(committed - offered),
    sort: ({ times: { offered, committed } }) =>
      offered === undefined || committed === undefined ? null : committed - offered,
    number: true,
    width: '90px',
  },
  {
    title: 'error',
    cell: ({ error, proof }) => {
      const reported = error ?? proof?.refused;
      return reported && <span title={reported.message}>{reported.message}</span>;
    },
    sort: ({ error, proof }) => (error ?? proof?.refused)?.message ?? null,
    width: '2fr',
    wide: true,
  },
];

const stations = ['offered', 'downloaded', 'verified', 'booted', 'golden', 'committed', 'healthy'] as const;

/** The steps that a device has reported, each as a dot. */
function Trail({ times }: { times: RolloutDeviceInfo['times'] }) {
  const reached = stations.filter((station) => times[station] !== undefined);
  const last = reached.at(-1);
  const tell = reached.map((station) => `${stepWord(station)} ${withZone(times[station]!)}`).join('\n');
  return (
    <span class="trail" title={tell}>
      {stations.map((station) => (
        <i key={station} class={times[station] === undefined ? '' : 'on'} />
      ))}{' '}
      <span class="soft">{last ? stepWord(last) : ''}</span>
    </span>
  );
}

const atATime = 500;

/** The devices of a rollout by state and wave, one page at a time. */
export function RolloutDevices({ rollout }: { rollout: RolloutStatus }) {
  const { id, waves } = rollout;
  const { query } = route.value;
  const [state, wave, after] = ['state', 'wave', 'after'].map((key) => query.get(key) ?? '');
  // A crash is not a separate state, because most devices that crash keep running the release.
  const what = state === 'crashed' ? { crashed: 'true' } : state ? { state } : {};
  const asked = { ...what, ...(wave ? { wave } : {}) };
  const search = { ...asked, after: after || undefined, limit: atATime };
  const { value, error } = useResource(at('GET /rollouts/:id/devices', { id }, search), {
    events: ['rollout.*', 'device.crash'],
  });
  const other = (changes: Record<string, string>) => here({ after: '', ...changes });
  const counts = countsOf(rollout);
  const crashed = waves.reduce((sum, each) => sum + each.crashed, 0);
  const states = shares.flatMap((share) => share.states).filter((one) => counts[one] > 0 || one === state);
  return (
    <Section title="Devices">
      <div class="filter">
        <label for="state">State</label>
        <select
          id="state"
          value={state ?? ''}
          onChange={({ currentTarget }) => goTo(other({ state: currentTarget.value }), { replace: true })}
        >
          <option value="">all</option>
          {states.map((one: RolloutDeviceState) => (
            <option key={one} value={one}>
              {words(one)} ({counts[one].toLocaleString('en')})
            </option>
          ))}
          {crashed > 0 && <option value="crashed">crashed ({crashed.toLocaleString('en')})</option>}
        </select>
        {waves.length > 1 && (
          <>
            <label for="wave">Wave</label>
            <select
              id="wave"
              value={wave ?? ''}
              onChange={({ currentTarget }) => goTo(other({ wave: currentTarget.value }), { replace: true })}
            >
              <option value="">all</option>
              {waves.map(({ devices }, index) => (
                <option key={index} value={String(index)}>
                  {index + 1} ({devices.toLocaleString('en')})
                </option>
              ))}
            </select>
          </>
        )}
      </div>
      {error && <Failure error={error} />}
      {value?.devices.length === 0 && <p class="soft">No matching devices. Choose another state or wave.</p>}
      {value && value.devices.length > 0 && (
        <>
          <Table
            rows={value.devices}
            columns={columns}
            keyOf={({ name }) => name}
            to={({ name }) => linkTo(['devices', name])}
            label="Devices of the rollout"
            name="devices"
          />
          <Pages
            first={after ? other({}) : null}
            next={value.next === null ? null : other({ after: value.next })}
          />
        </>
      )}
    </Section>
  );
}
