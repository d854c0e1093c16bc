import type {
  RolloutDeviceInfo,
  RolloutDeviceState,
  RolloutStatus,
} from '../../../src/lib/registry/index.js';
import { useResource } from '../../app/resource.js';
import { goTo, linkTo, route } from '../../app/route.js';
import { lasting, moment } from '../../app/text.js';
import { Badge } from '../../parts/badge.js';
import { Failure, Section } from '../../parts/page.js';
import { Pages } from '../../parts/pages.js';
import { type Column, Table } from '../../parts/table.js';
import { countsOf, shares, toneOfDevice, words } from './states.js';

const proofs = {
  proven: <Badge tone="good">signed</Badge>,
  said: <Badge tone="soft">said</Badge>,
  refused: <Badge tone="bad">refused</Badge>,
};

const columns: Column<RolloutDeviceInfo>[] = [
  { title: 'device', cell: ({ name }) => name, width: '1.4fr' },
  { title: 'wave', cell: ({ wave }) => wave + 1, width: '56px', wide: true },
  {
    title: 'state',
    cell: ({ state }) => <Badge tone={toneOfDevice(state)}>{words(state)}</Badge>,
    width: '1.1fr',
  },
  {
    title: 'proof of update',
    cell: ({ times, proof }) => (
      <>
        {proof && proofs[proof.state]} <Trail times={times} />
      </>
    ),
    width: '2fr',
    wide: true,
  },
  {
    title: 'took',
    cell: ({ times: { offered, committed } }) =>
      offered === undefined || committed === undefined ? '' : lasting(committed - offered),
    number: true,
    width: '80px',
  },
  {
    title: 'said',
    cell: ({ error, proof }) => {
      const told = error ?? proof?.refused;
      return told && <span title={told.message}>{told.message}</span>;
    },
    width: '2fr',
    wide: true,
  },
];

const stations = ['offered', 'downloaded', 'verified', 'booted', 'golden', 'committed', 'healthy'] as const;

/** What a device has shown on its way, a dot each. */
function Trail({ times }: { times: RolloutDeviceInfo['times'] }) {
  const reached = stations.filter((station) => times[station] !== undefined);
  const last = reached.at(-1);
  const tell = reached.map((station) => `${station} ${moment(times[station]!)}`).join('\n');
  return (
    <span class="trail" title={tell}>
      {stations.map((station) => (
        <i key={station} class={times[station] === undefined ? '' : 'on'} />
      ))}{' '}
      <span class="soft">{last ?? ''}</span>
    </span>
  );
}

const atATime = 100;

/** The devices of a rollout, a page at a time, by state and wave. */
export function RolloutDevices({ rollout }: { rollout: RolloutStatus }) {
  const { id, waves } = rollout;
  const { query } = route.value;
  const [state, wave, after] = ['state', 'wave', 'after'].map((key) => query.get(key) ?? '');
  const asked = { ...(state ? { state } : {}), ...(wave ? { wave } : {}) };
  const search = new URLSearchParams({ ...asked, ...(after ? { after } : {}), limit: String(atATime) });
  const { value, error } = useResource<{ devices: RolloutDeviceInfo[]; next: string | null }>(
    `/rollouts/${encodeURIComponent(id)}/devices?${search}`,
    { events: ['rollout.*'] },
  );
  const here = (more: Record<string, string>) => linkTo(['rollouts', id], { ...asked, ...more });
  const counts = countsOf(rollout);
  const states = shares.flatMap((share) => share.states).filter((one) => counts[one] > 0 || one === state);
  return (
    <Section title="Devices">
      <div class="filter">
        <label for="state">State</label>
        <select
          id="state"
          value={state ?? ''}
          onChange={({ currentTarget }) => goTo(here({ state: currentTarget.value }), { replace: true })}
        >
          <option value="">all</option>
          {states.map((one: RolloutDeviceState) => (
            <option key={one} value={one}>
              {words(one)} ({counts[one].toLocaleString('en')})
            </option>
          ))}
        </select>
        {waves.length > 1 && (
          <>
            <label for="wave">Wave</label>
            <select
              id="wave"
              value={wave ?? ''}
              onChange={({ currentTarget }) => goTo(here({ wave: currentTarget.value }), { replace: true })}
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
      {value?.devices.length === 0 && <p class="soft">No device fits.</p>}
      {value && value.devices.length > 0 && (
        <>
          <Table
            rows={value.devices}
            columns={columns}
            keyOf={({ name }) => name}
            to={({ name }) => linkTo(['devices', name])}
            label="Devices of the rollout"
          />
          <Pages
            first={after ? here({}) : null}
            next={value.next === null ? null : here({ after: value.next })}
          />
        </>
      )}
    </Section>
  );
}
