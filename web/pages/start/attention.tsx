import type { ComponentChildren } from 'preact';
import type {
  DeviceInfo,
  Rollout,
  RolloutDeviceInfo,
  Status,
  Attention as Unwell,
} from '../../../src/lib/api/index.js';
import { releaseText } from '../../../src/lib/api/rollouts/words.js';
import { at } from '../../app/api.js';
import { useResource } from '../../app/resource.js';
import { linkTo } from '../../app/route.js';
import { plural } from '../../app/text.js';
import { Badge } from '../../parts/badge.js';
import { Section } from '../../parts/page.js';
import { When } from '../../parts/when.js';
import { countsOf, devicesOf, inShare, shares, toneOf, words } from '../rollouts/states.js';
import { isQuiet, QuietDevices, UnwellDevice, withCode } from './unwell.js';

/** Number of rollouts examined, newest first. */
const rolloutsRead = 100;
const devicesRead = 1000;
/** Maximum number of rollouts listed. */
const rolloutsListed = 5;
const namesListed = 5;
/** Maximum number of unwell devices that are listed with their causes. */
const unwellListed = 20;

/** Everything that needs attention: unsuccessful rollouts, unwell devices with causes, other offline devices, the platform's
 * warnings. */
export function Attention({ warnings }: { warnings: Status['warnings'] }) {
  const list = useResource(at('GET /rollouts', {}, { limit: rolloutsRead }), {
    events: ['rollout.*'],
  });
  const selector = 'state=active and has lastSeen';
  const fleet = useResource(at('GET /devices', {}, { limit: devicesRead, selector }), {
    events: ['device.*'],
  });
  const health = useResource(at('GET /attention', {}, { limit: unwellListed }), {
    events: ['device.*', 'enrollment.*', 'batch.*'],
  });
  const rollouts = troubled(list.value?.rollouts ?? []);
  const quiet = health.value?.quiet ?? 0;
  const all = useResource(quiet > 0 ? at('GET /attention', {}, { limit: devicesRead, all: 'true' }) : null, {
    events: ['device.*'],
  });
  const unwell = health.value?.devices ?? [];
  const quietDevices = (all.value?.devices ?? []).filter(isQuiet);
  const listed = new Set([...unwell, ...quietDevices].map(({ name }) => name));
  // Until an offline device counts as silent, only its name is shown. The same applies to unwell devices beyond the listed ones.
  const devices = (fleet.value?.devices ?? []).filter(({ name }) => !listed.has(name));
  const rolledBack = devices.filter(({ updateState }) => updateState === 'ROLLED_BACK');
  const offline = devices.filter(({ online }) => !online);
  const alarms = health.value?.alarms ?? [];
  const waiting = health.value?.waiting;
  const decided = () => {
    health.reload();
    all.reload();
  };
  // The entry of waiting devices replaces the platform's warning.
  const shownWarnings = warnings.filter(({ about }) => about !== 'approval');
  const found = [shownWarnings, rollouts, unwell, rolledBack, offline, alarms, waiting?.devices ?? []];
  if (quiet === 0 && found.every(({ length }) => length === 0)) return null;
  const more = rollouts.length - rolloutsListed;
  return (
    <Section
      title="Needs attention"
      note={fleet.value?.next ? `checked the first ${devicesRead.toLocaleString('en')} devices` : undefined}
    >
      <ul class="plain attention" aria-label="Needs attention">
        {rollouts.slice(0, rolloutsListed).map((rollout) => (
          <RolloutTrouble key={rollout.id} rollout={rollout} />
        ))}
        {more > 0 && (
          <li>
            <a href={linkTo(['rollouts'])}>{plural(more, 'more rollout')}</a>
          </li>
        )}
        {unwell.map((device) => (
          <UnwellDevice key={device.name} device={device} onChange={decided} />
        ))}
        {health.value?.next && (
          <li>
            more: <code>aiot status --attention --limit 1000</code>
          </li>
        )}
        {quiet > 0 && <QuietDevices count={quiet} devices={quietDevices} onChange={decided} />}
        {alarms.map(({ alarm, message, since, next }) => (
          <li key={alarm}>
            <Badge tone="bad">alarm</Badge> {alarm} {message}, <When at={since} as="ago" />.{' '}
            <span class="soft">{withCode(next)}</span>
          </li>
        ))}
        <DeviceTrouble devices={rolledBack} tone="bad" word="rolled back">
          {rolledBack.length === 1
            ? '1 device rolled back its last update'
            : `${plural(rolledBack.length, 'device')} rolled back their last update`}
        </DeviceTrouble>
        <DeviceTrouble devices={offline} tone="warn" word="offline">
          {offline.length === 1 ? '1 device is offline' : `${plural(offline.length, 'device')} are offline`}
        </DeviceTrouble>
        {waiting && waiting.count > 0 && <Waiting waiting={waiting} />}
        {shownWarnings.map(({ about, message }) => (
          <li key={message}>
            <Badge tone="warn">{about}</Badge> {message}
          </li>
        ))}
      </ul>
    </Section>
  );
}

/** Devices that wait for approval: their number, and each one that contradicts others. The section below has the buttons. */
function Waiting({ waiting: { count, since, devices } }: Pick<Unwell, 'waiting'>) {
  const suspicious = devices.filter((device) => device.suspicious);
  return (
    <li>
      <Badge tone={suspicious.length > 0 ? 'bad' : 'warn'}>waiting</Badge>{' '}
      {count === 1
        ? '1 device is waiting for approval; it asked'
        : `${plural(count, 'device')} are waiting for approval; the first asked`}{' '}
      {since !== null && <When at={since} as="ago" />}.{' '}
      <span class="soft">{withCode('Decide below, or with `aiot device approve`.')}</span>
      {suspicious.map(({ name, message, next }) => (
        <div key={name}>
          {name}: {message}. <span class="soft">{withCode(next)}</span>
        </div>
      ))}
    </li>
  );
}

/** Codes of rollouts that a person stopped; such a stop is not a failure. */
const byPeople = new Set(['AIOT_ROLLOUT_PAUSED', 'AIOT_ROLLOUT_ABORTED', 'AIOT_ROLLOUT_ROLLED_BACK']);

/**
 * The rollouts, newest first, that stopped for a reason other than a person's command, or that some devices did not complete. A
 * finished rollout is omitted if a newer one has the same selector and releases of the same names.
 */
function troubled(rollouts: readonly Rollout[]): Rollout[] {
  const begun = new Set<string>();
  return rollouts.filter((rollout) => {
    const { state, releases, selector, ended, reason } = rollout;
    const goal = JSON.stringify([releases.map(({ kind, name }) => [kind, name]), selector]);
    const replaced = ended !== null && begun.has(goal);
    if (state !== 'awaitingApproval' && state !== 'scheduled') begun.add(goal);
    if (replaced || (reason !== null && byPeople.has(reason.code))) return false;
    return reason !== null || state === 'failed' || state === 'partly' || failuresOf(rollout) > 0;
  });
}

function failuresOf(rollout: Rollout): number {
  const { failed, rolledBack } = countsOf(rollout);
  return failed + rolledBack;
}

/** One rollout, with the reason why it stopped or its progress, and the failed devices with their errors. */
function RolloutTrouble({ rollout }: { rollout: Rollout }) {
  const { id, releases, state, reason } = rollout;
  const counts = countsOf(rollout);
  const failed = useFailed(id, 'failed', counts.failed);
  const rolledBack = useFailed(id, 'rolledBack', counts.rolledBack);
  const devices = [...failed, ...rolledBack].slice(0, namesListed);
  const left = failuresOf(rollout) - devices.length;
  return (
    <li>
      <Badge tone={toneOf[state]}>{words(state)}</Badge>{' '}
      <a href={linkTo(['rollouts', id])}>{releases.map(releaseText).join(' + ')}</a>{' '}
      {reason ? (
        <span>
          {reason.message} <span class="soft">{reason.code}</span>
        </span>
      ) : (
        <span>{progressOf(rollout)}</span>
      )}
      {devices.map(({ name, error }) => (
        <div key={name} class="names">
          <a href={linkTo(['devices', name])}>{name}</a>
          {error && <span>{error.message}</span>}
          {error && <span class="soft">{error.code}</span>}
        </div>
      ))}
      {devices.length > 0 && left > 0 && <div class="names soft">and {plural(left, 'more device')}</div>}
    </li>
  );
}

/** Progress of a rollout, such as `2 of 3 devices committed; 1 failed, 1 missed`. */
function progressOf(rollout: Rollout): string {
  const counts = countsOf(rollout);
  const underWay = shares.find(({ title }) => title === 'updating');
  const parts = [
    counts.failed > 0 && `${counts.failed} failed`,
    counts.rolledBack > 0 && `${counts.rolledBack} rolled back`,
    counts.missed > 0 && `${counts.missed} missed`,
    underWay && inShare(underWay, counts) > 0 && `${inShare(underWay, counts)} updating`,
  ].filter(Boolean);
  const run = `${counts.committed} of ${plural(devicesOf(rollout), 'device')} committed`;
  return parts.length === 0 ? run : `${run}; ${parts.join(', ')}`;
}

/** The first devices in a state. They are reread when an event reports a change. */
function useFailed(id: string, state: 'failed' | 'rolledBack', count: number): RolloutDeviceInfo[] {
  const place = at('GET /rollouts/:id/devices', { id }, { state, limit: namesListed });
  const { value } = useResource(count === 0 ? null : place, {
    events: ['rollout.move'],
  });
  return count === 0 ? [] : (value?.devices ?? []);
}

/** The number of devices with the same problem, and some of their names. */
function DeviceTrouble(of: {
  devices: readonly DeviceInfo[];
  tone: 'bad' | 'warn';
  word: string;
  children: ComponentChildren;
}) {
  const { devices, tone, word, children } = of;
  if (devices.length === 0) return null;
  const left = devices.length - namesListed;
  return (
    <li>
      <Badge tone={tone}>{word}</Badge> {children}
      <div class="names">
        {devices.slice(0, namesListed).map(({ name }) => (
          <a key={name} href={linkTo(['devices', name])}>
            {name}
          </a>
        ))}
        {left > 0 && <span class="soft">and {left.toLocaleString('en')} more</span>}
      </div>
    </li>
  );
}
