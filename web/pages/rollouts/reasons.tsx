import type { RolloutDeviceInfo, RolloutStatus } from '../../../src/lib/registry/index.js';
import { useResource } from '../../app/resource.js';
import { linkTo } from '../../app/route.js';
import { plural } from '../../app/text.js';
import { Section } from '../../parts/page.js';
import { countsOf, words } from './states.js';

/** So many of each kind are looked at: their reasons are few. */
const looked = 500;
/** Names beside a reason. */
const named = 5;

type Devices = { devices: RolloutDeviceInfo[] };

/** Why devices did not take it: by what they said, most first, with some of who said so. */
export function Reasons({ rollout }: { rollout: RolloutStatus }) {
  const counts = countsOf(rollout);
  const failed = useFailures(rollout.id, 'failed', counts.failed);
  const back = useFailures(rollout.id, 'rolledBack', counts.rolledBack);
  const missed = useFailures(rollout.id, 'missed', counts.missed);
  const all = [...failed, ...back, ...missed];
  const total = counts.failed + counts.rolledBack + counts.missed;
  if (total === 0 || all.length === 0) return null;
  const by = new Map<string, RolloutDeviceInfo[]>();
  for (const device of all) {
    const code = device.error?.code ?? words(device.state);
    by.set(code, [...(by.get(code) ?? []), device]);
  }
  const reasons = [...by].sort(([, a], [, b]) => b.length - a.length);
  return (
    <Section
      title="Who did not take it"
      note={all.length < total ? `counted in ${all.length} of ${plural(total, 'device')}` : undefined}
    >
      <ul class="plain">
        {reasons.map(([code, devices]) => (
          <li key={code} class="reason">
            <b class="number">{devices.length}</b>
            <div>
              {devices[0]?.error?.message ?? 'It was not there until its deadline.'}{' '}
              <span class="soft">{code}</span>
              <div class="names">
                {devices.slice(0, named).map(({ name }) => (
                  <a key={name} href={linkTo(['devices', name])}>
                    {name}
                  </a>
                ))}
                {devices.length > named && <span class="soft">and {devices.length - named} more</span>}
              </div>
            </div>
          </li>
        ))}
      </ul>
    </Section>
  );
}

/** Read again when there is another count of them. */
function useFailures(id: string, state: string, count: number): RolloutDeviceInfo[] {
  const path = `/rollouts/${encodeURIComponent(id)}/devices?state=${state}&limit=${looked}`;
  const { value } = useResource<Devices>(count === 0 ? null : path, { events: ['rollout.move'] });
  return value?.devices ?? [];
}
