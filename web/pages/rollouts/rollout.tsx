import { useSignal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import type {
  Rollout,
  RolloutCommand,
  RolloutDeviceInfo,
  RolloutStatus,
} from '../../../src/lib/api/index.js';
import {
  commandStates,
  crashFreeWords,
  gateWords,
  releaseText,
} from '../../../src/lib/api/rollouts/words.js';
import { at, send } from '../../app/api.js';
import { useAsked } from '../../app/asked.js';
import { useResource } from '../../app/resource.js';
import { linkTo } from '../../app/route.js';
import { mayChange } from '../../app/session.js';
import { lasting, plural } from '../../app/text.js';
import { Badge } from '../../parts/badge.js';
import { Command } from '../../parts/command.js';
import { Confirm } from '../../parts/dialog.js';
import { Facts, Failure, Loading, Page, Section } from '../../parts/page.js';
import { Scroll } from '../../parts/scroll.js';
import { type Column, ShortTable } from '../../parts/table.js';
import { When } from '../../parts/when.js';
import { Bar, Legend } from './bar.js';
import { RolloutDevices } from './devices.js';
import { commandTexts, countsOf, devicesOf, toneOf, words } from './states.js';

/** One rollout, with its waves, failures with reasons, devices, and available actions. */
export function OneRollout({ id }: { id: string }) {
  const { value, error, reload } = useResource(at('GET /rollouts/:id', { id }), {
    events: ['rollout.*', 'device.crash'],
  });
  const above = { title: 'Rollouts', to: linkTo(['rollouts']) };
  if (!value) return error ? <Failure error={error} /> : <Loading />;
  const { releases, state, reason } = value;
  return (
    <Page
      title={releases.map(releaseText).join(' + ')}
      above={above}
      command={`aiot rollout show ${id}`}
      actions={mayChange() ? <Actions rollout={value} done={reload} /> : undefined}
    >
      {error && <Failure error={error} />}
      <p class="lead">
        <Badge tone={toneOf[state]}>{words(state)}</Badge>
        {reason && (
          <span>
            {reason.message} <span class="soft">{reason.code}</span>
          </span>
        )}
      </p>
      <Waves rollout={value} />
      <Reasons rollout={value} />
      <RolloutDevices rollout={value} />
      <Section title="Settings">
        <Facts facts={factsOf(value)} />
      </Section>
    </Page>
  );
}

/** Available actions, each with a confirmation. */
export function Actions({ rollout, done }: { rollout: Rollout; done: () => void }) {
  const asked = useSignal<RolloutCommand | null>(null);
  const { id, state, rollback } = rollout;
  const all: RolloutCommand[] = ['approve', 'resume', 'pause', 'retry', 'rollback', 'abort'];
  const possible = all.filter(
    (command) => commandStates[command].includes(state) && (command !== 'rollback' || rollback !== null),
  );
  useAsked((verb) => {
    asked.value = possible.find((each) => each === verb) ?? asked.value;
    return asked.value === verb;
  });
  const { value: command } = asked;
  return (
    <>
      {possible.map((each) => (
        <button
          key={each}
          type="button"
          class={commandTexts[each].danger ? 'danger' : ''}
          onClick={() => {
            asked.value = each;
          }}
        >
          {commandTexts[each].title}
        </button>
      ))}
      {command && (
        <Confirm
          title={`${commandTexts[command].title} ${id}?`}
          action={commandTexts[command].title}
          danger={commandTexts[command].danger ?? false}
          run={() => send(at(`POST /rollouts/:id/${command}`, { id })).then(done)}
          onClose={() => {
            asked.value = null;
          }}
        >
          <p>{commandTexts[command].why}</p>
          <Command line={`aiot rollout ${command} ${id}`} />
        </Confirm>
      )}
    </>
  );
}

type Wave = Rollout['waves'][number] & { index: number };

export function Waves({ rollout }: { rollout: Rollout }) {
  const counts = countsOf(rollout);
  const crashed = rollout.waves.reduce((sum, wave) => sum + wave.crashed, 0);
  const totals = [
    devicesOf(rollout),
    counts.committed,
    counts.failed,
    counts.rolledBack,
    counts.missed + counts.withdrawn + counts.restored,
    ...(crashed > 0 ? [crashed] : []),
  ];
  const foot = rollout.waves.length > 1 && (
    <tr>
      <th scope="row">all</th>
      <td />
      <td>
        <Bar counts={counts} devices={devicesOf(rollout)} />
      </td>
      {totals.map((total, i) => (
        <td key={i} class="number">
          {counted(total)}
        </td>
      ))}
      <td class="wide" />
    </tr>
  );
  return (
    <Section title="Waves" note={<Legend />}>
      <Scroll label="Waves">
        <ShortTable
          rows={rollout.waves.map((wave, index) => ({ ...wave, index }))}
          columns={waveColumns(crashed > 0)}
          keyOf={({ index }) => String(index)}
          label="Waves"
          name="waves"
          foot={foot || undefined}
        />
      </Scroll>
    </Section>
  );
}

function counted(count: number) {
  return count === 0 ? <span class="soft">0</span> : count.toLocaleString('en');
}

const countColumn = (title: string, of: (wave: Wave) => number): Column<Wave> => ({
  title,
  cell: (wave) => counted(of(wave)),
  sort: of,
  number: true,
});

/** @param crashes whether a device crashed after it committed */
const waveColumns = (crashes: boolean): Column<Wave>[] => [
  { title: 'wave', cell: ({ index }) => index + 1, sort: ({ index }) => index },
  {
    title: 'state',
    cell: ({ state }) => <Badge tone={toneOf[state]}>{words(state)}</Badge>,
    sort: ({ state }) => words(state),
  },
  {
    title: 'progress',
    cell: (wave) => <Bar counts={wave} devices={wave.devices} />,
    sort: (wave) => wave.committed / Math.max(1, wave.devices),
    width: '40%',
  },
  countColumn('devices', ({ devices }) => devices),
  countColumn('committed', ({ committed }) => committed),
  countColumn('failed', ({ failed }) => failed),
  countColumn('rolled back', ({ rolledBack }) => rolledBack),
  countColumn('not updated', ({ missed, withdrawn, restored }) => missed + withdrawn + restored),
  ...(crashes ? [countColumn('crashed', ({ crashed }) => crashed)] : []),
  {
    title: 'duration',
    cell: (wave) => (wave.opened === null ? '' : lasting(openMs(wave))),
    sort: (wave) => (wave.opened === null ? null : openMs(wave)),
    number: true,
    wide: true,
  },
];

function openMs({ opened, ended }: Wave): number {
  return (ended ?? Date.now()) - (opened ?? 0);
}

function factsOf(rollout: RolloutStatus): [string, ComponentChildren][] {
  const { id, releases, rollback, selector, policy, approvals, by, created, seconds, runs, saved } = rollout;
  const { crashFree } = rollout;
  const { soakMs, deadlineMs, offlineMs, onFailure, attempts, window } = policy;
  const running = runs.map(
    ({ name, version, devices }) =>
      `${name === null ? 'no model' : `${name}@${version}`} on ${plural(devices, 'device')}`,
  );
  const otherwise = onFailure === 'pause' ? 'the rollout pauses' : 'all devices roll back';
  return [
    ['id', <code key="id">{id}</code>],
    [
      'releases',
      releases
        .map((release) =>
          release.kind === 'settings'
            ? releaseText(release)
            : `${releaseText(release)} (${release.kind}, sequence ${release.sequence})`,
        )
        .join(', then '),
    ],
    ...(rollback ? [['rollback to', releaseText(rollback)] as [string, string]] : []),
    [
      'selector',
      <span key="selector">
        <a href={linkTo(['devices'], { selector })}>
          <code>{selector}</code>
        </a>{' '}
        <span class="soft">{plural(devicesOf(rollout), 'device')}</span>
      </span>,
    ],
    ...(running.length > 0 ? [['running now', running.join(', ')] as [string, string]] : []),
    ...(saved.byDelta > 0
      ? [['deltas', `${plural(saved.byDelta, 'device')} updated by delta`] as [string, string]]
      : []),
    ['gates', `${gateWords(policy)}; otherwise ${otherwise}`],
    ...(crashFree
      ? [['crash-free', <CrashFreeFact key="crash-free" rollout={rollout} />] as [string, ComponentChildren]]
      : []),
    ...(soakMs > 0
      ? [['soak', `each wave must stay healthy for ${lasting(soakMs)}`] as [string, string]]
      : []),
    [
      'deadlines',
      `${lasting(deadlineMs)} after the offer; ${lasting(offlineMs ?? deadlineMs)} for offline devices`,
    ],
    ['attempts', String(attempts)],
    ...(window
      ? [
          [
            'window',
            `${window.days ? `${window.days.join(', ')} ` : ''}${window.from} to ${window.to} ${window.zone}`,
          ] as [string, string],
        ]
      : []),
    ...(policy.requireProof ? [['proof', 'a commit counts only if it is signed'] as [string, string]] : []),
    ['started', <ByUser key="started" at={created} by={by} />],
    ...approvals.map(({ who, at }): [string, ComponentChildren] => [
      'approved',
      <ByUser key="approved" at={at} by={who} />,
    ]),
    ['duration', lasting(seconds * 1000)],
  ];
}

/** The crashes since the update, with links to their reports. */
function CrashFreeFact({ rollout }: { rollout: RolloutStatus }) {
  const causes = rollout.crashFree?.causes ?? [];
  return (
    <>
      {crashFreeWords(rollout)}
      {causes.map(({ signature, reason, hours }) => (
        <div key={signature}>
          <a href={linkTo(['crashes', signature])}>
            <code>{signature}</code>
          </a>{' '}
          <span class="soft">
            {reason}, {plural(hours, 'device-hour')}
          </span>
        </div>
      ))}
    </>
  );
}

function ByUser({ at, by }: { at: number; by: string }) {
  return (
    <>
      <When at={at} /> by {by}
    </>
  );
}

/** Maximum number of failed devices read per state. This is enough because there are few distinct reasons. */
const looked = 500;
/** Number of names listed per reason. */
const named = 5;

/** Reasons for failures as reported by devices, most frequent first, with the names of some of the devices. */
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
      title="Failed devices"
      note={all.length < total ? `based on ${all.length} of ${plural(total, 'device')}` : undefined}
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

/**
 * Reason for a device's failure. A missed device may still have an error from before it went offline, but that is not why it was missed.
 */
function messageOf({ state, error }: RolloutDeviceInfo): string {
  if (state === 'missed') return 'The device was offline until the deadline.';
  return error?.message ?? '';
}

/** The failed devices in a state. They are reread when an event reports a change. */
function useFailures(id: string, state: string, count: number): RolloutDeviceInfo[] {
  const place = at('GET /rollouts/:id/devices', { id }, { state, limit: looked });
  const { value } = useResource(count === 0 ? null : place, { events: ['rollout.move'] });
  return value?.devices ?? [];
}
