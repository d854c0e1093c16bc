import { at } from '../../app/api.js';
import { useResource } from '../../app/resource.js';
import { Badge } from '../../parts/badge.js';
import { Failure, Loading } from '../../parts/page.js';
import { Scroll } from '../../parts/scroll.js';
import { type Column, ShortTable } from '../../parts/table.js';
import { When } from '../../parts/when.js';
import { keyOf, memberOf, shown, textOf } from './values.js';

/** The report fields for each kind of desired state. */
const places: Record<string, string> = { model: 'model', firmware: 'firmware.release', config: 'config' };
const members = ['name', 'version', 'sequence'] as const;

const onlyReported: readonly [label: string, path: string][] = [
  ['update', 'state'],
  ['firmware', 'firmware.version'],
  ['configuration', 'config'],
  ['test vectors', 'golden'],
  ['error', 'error'],
  ['lowest accepted sequence', 'floor'],
  ['free heap', 'heap.free'],
  ['largest free block', 'heap.largest'],
  ['minimum free heap', 'heap.least'],
  ['uptime (ms)', 'vitals.uptimeMs'],
  ['last restart', 'vitals.boot.reason'],
  ['battery (%)', 'vitals.battery.percent'],
  ['free disk (bytes)', 'vitals.disk.freeBytes'],
  ['waiting messages', 'vitals.queue.waiting'],
  ['dropped messages', 'vitals.queue.dropped'],
  ['Wi-Fi signal (dBm)', 'vitals.rssiDbm'],
];

interface Member {
  label: string;
  desired: unknown;
  reported: unknown;
  differs: boolean;
}

const columns: Column<Member>[] = [
  { title: 'field', cell: ({ label }) => label, sort: ({ label }) => label },
  { title: 'desired', cell: ({ desired }) => shown(desired), sort: ({ desired }) => keyOf(desired) },
  {
    title: 'reported',
    cell: ({ reported, differs }) => (
      <>
        {shown(reported)} {differs && <Badge tone="warn">differs</Badge>}
      </>
    ),
    sort: ({ reported }) => keyOf(reported),
  },
];

/** The desired state next to the reported one. */
export function Twin({ name, online }: { name: string; online: boolean }) {
  const { value, error } = useResource(at('GET /devices/:name/state', { name }), {
    events: ['device.*', 'rollout.*'],
  });
  if (error) return <Failure error={error} />;
  if (!value) return <Loading />;
  const { desired, reported } = value;
  const kind = textOf(desired?.kind ?? 'model');
  const pair = (label: string, wish: unknown, is: unknown): Member => {
    const known = desired !== null && reported !== null && wish !== undefined && is !== undefined;
    return { label, desired: wish, reported: is, differs: known && wish !== is };
  };
  const rows = [
    pair('kind', desired?.kind, desired === null ? undefined : (reported?.kind ?? 'model')),
    pair('rollout', desired?.rollout, reported?.rollout),
    ...members.map((one) => pair(one, desired?.[one], memberOf(reported, `${places[kind]}.${one}`))),
    ...onlyReported.map(([label, path]) => pair(label, undefined, memberOf(reported, path))),
  ];
  return (
    <>
      <Scroll label="Desired and reported state">
        <ShortTable
          rows={rows}
          columns={columns}
          keyOf={({ label }) => label}
          label="Desired and reported state"
          rowClass={({ differs }) => (differs ? 'differs' : undefined)}
        />
      </Scroll>
      {desired === null && <p class="soft">No rollout targets this device.</p>}
      <p class="soft">
        {online ? (
          'The device is online.'
        ) : value.lastSeen === null ? (
          'The device has never connected.'
        ) : (
          <>
            Last seen <When at={value.lastSeen} />.
          </>
        )}
      </p>
      <details>
        <summary>Raw messages</summary>
        <pre>{JSON.stringify({ desired, reported }, null, 2)}</pre>
      </details>
    </>
  );
}
