import type { DeviceTwin } from '../../../src/lib/registry/index.js';
import { useResource } from '../../app/resource.js';
import { moment } from '../../app/text.js';
import { Badge } from '../../parts/badge.js';
import { Failure, Loading } from '../../parts/page.js';
import { textOf } from './values.js';

/** Where a report tells of what is desired, by its kind. */
const places: Record<string, string> = { model: 'model', firmware: 'firmware.release', config: 'config' };
const members = ['name', 'version', 'sequence'] as const;

const onlyReported: readonly [label: string, path: string][] = [
  ['update', 'state'],
  ['firmware', 'firmware.version'],
  ['configuration', 'config'],
  ['golden vectors', 'golden'],
  ['error', 'error'],
  ['nothing below sequence', 'floor'],
  ['free heap', 'heap.free'],
  ['largest piece of it', 'heap.largest'],
  ['least free heap', 'heap.least'],
];

/** What it is to run beside what it says that it runs. */
export function Twin({ name }: { name: string }) {
  const path = `/devices/${encodeURIComponent(name)}/state`;
  const { value, error } = useResource<DeviceTwin>(path, { events: ['device.*', 'rollout.*'] });
  if (error) return <Failure error={error} />;
  if (!value) return <Loading />;
  const { desired, reported } = value;
  const kind = textOf(desired?.kind ?? 'model');
  const pairs = [
    ['what', desired?.kind, desired === null ? undefined : (reported?.kind ?? 'model')],
    ['rollout', desired?.rollout, reported?.rollout],
    ...members.map((member) => [member, desired?.[member], memberOf(reported, `${places[kind]}.${member}`)]),
  ] as const;
  return (
    <>
      <table class="twin">
        <thead>
          <tr>
            <th scope="col">
              <span class="unseen">member</span>
            </th>
            <th scope="col">desired</th>
            <th scope="col">reported</th>
          </tr>
        </thead>
        <tbody>
          {pairs.map(([label, wish, is]) => {
            const differs =
              desired !== null && reported !== null && wish !== undefined && is !== undefined && wish !== is;
            return (
              <tr key={String(label)} class={differs ? 'differs' : undefined}>
                <th scope="row">{String(label)}</th>
                <td>{shown(wish)}</td>
                <td>
                  {shown(is)} {differs && <Badge tone="warn">differs</Badge>}
                </td>
              </tr>
            );
          })}
          {onlyReported.map(([label, one]) => (
            <tr key={label}>
              <th scope="row">{label}</th>
              <td />
              <td>{shown(memberOf(reported, one))}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {desired === null && <p class="soft">No rollout wants anything of it.</p>}
      <p class="soft">
        {value.lastSeen === null ? 'It was never heard.' : `Last heard ${moment(value.lastSeen)}.`}
      </p>
      <details>
        <summary>The messages as they are</summary>
        <pre>{JSON.stringify({ desired, reported }, null, 2)}</pre>
      </details>
    </>
  );
}

function memberOf(value: unknown, path: string): unknown {
  return path
    .split('.')
    .reduce<unknown>(
      (at, key) => (at as Record<string, unknown> | null | undefined)?.[key],
      value ?? undefined,
    );
}

function shown(value: unknown) {
  return value === undefined || value === null ? <span class="soft">—</span> : textOf(value);
}
