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
    const reason = `${device.error?.code ?? words(device.state)} ${messageOf(device)}`;
    by.set(reason, [...(by.get(reason) ?? []), device]);
  }
  const reasons = [...by].sort(([, a], [, b]) => b.length - a.length);
  return (
    <Section
      title="Not updated"
      note={all.length < total ? `counted in ${all.length} of ${plural(total, 'device')}` : undefined}
    >
      <ul class="plain">
        {reasons.map(([reason, devices]) => (
          <li key={reason} class="reason">
            <b class="number">{devices.length}</b>
            <div>
              {devices[0] && messageOf(devices[0])}{' '}
              <span class="soft">{devices[0] && (devices[0].error?.code ?? words(devices[0].state))}</span>
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

/** A device that is missed keeps the error that it had before it went away, which is not why it was not updated. */
function messageOf({ state, error }: RolloutDeviceInfo): string {
  if (state === 'missed') return 'It was offline until its deadline.';
  return error?.message ?? '';
}

/** Read again when there is another count of them. */
function useFailures(id: string, state: string, count: number): RolloutDeviceInfo[] {
  const path = `/rollouts/${encodeURIComponent(id)}/devices?state=${state}&limit=${looked}`;
  const { value } = useResource<Devices>(count === 0 ? null : path, { events: ['rollout.move'] });
  return value?.devices ?? [];
}
