import { useSignal } from '@preact/signals';
import type { Rollout, RolloutCommand, RolloutStatus } from '../../../src/lib/registry/index.js';
import { commandStates } from '../../../src/lib/registry/rollouts/command-states.js';
import { send } from '../../app/api.js';
import { useResource } from '../../app/resource.js';
import { linkTo } from '../../app/route.js';
import { mayChange } from '../../app/session.js';
import { lasting, moment, plural } from '../../app/text.js';
import { Badge } from '../../parts/badge.js';
import { Command } from '../../parts/command.js';
import { Confirm } from '../../parts/dialog.js';
import { Facts, Failure, Loading, Page, Section } from '../../parts/page.js';
import { Bar, Legend } from './bar.js';
import { RolloutDevices } from './devices.js';
import { Reasons } from './reasons.js';
import { commandTexts, countsOf, devicesOf, toneOf, words } from './states.js';

/** One rollout as it goes: its waves, who failed and why, its devices, and what may be done with it. */
export function OneRollout({ id }: { id: string }) {
  const { value, error, reload } = useResource<RolloutStatus>(`/rollouts/${encodeURIComponent(id)}`, {
    events: ['rollout.*'],
  });
  const above = { title: 'Rollouts', to: linkTo(['rollouts']) };
  if (!value) return error ? <Failure error={error} /> : <Loading />;
  const { releases, state, reason } = value;
  return (
    <Page
      title={releases.map(({ name, version }) => `${name}@${version}`).join(' + ')}
      above={above}
      command={`aiot ota status ${id}`}
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
      <Section title="What was asked for">
        <Facts facts={factsOf(value)} />
      </Section>
    </Page>
  );
}

/** What may be done now, each asked for once more. */
function Actions({ rollout, done }: { rollout: Rollout; done: () => void }) {
  const asked = useSignal<RolloutCommand | null>(null);
  const { id, state, rollback } = rollout;
  const all: RolloutCommand[] = ['approve', 'resume', 'pause', 'retry', 'rollback', 'abort'];
  const possible = all.filter(
    (command) => commandStates[command].includes(state) && (command !== 'rollback' || rollback !== null),
  );
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
          run={() => send('POST', `/rollouts/${encodeURIComponent(id)}/${command}`).then(done)}
          onClose={() => {
            asked.value = null;
          }}
        >
          <p>{commandTexts[command].why}</p>
          <Command line={`aiot ota ${command} ${id}`} />
        </Confirm>
      )}
    </>
  );
}

function Waves({ rollout }: { rollout: Rollout }) {
  const { waves } = rollout;
  const counts = countsOf(rollout);
  const number = (count: number) => (count === 0 ? <span class="soft">0</span> : count.toLocaleString('en'));
  return (
    <Section title="Waves" note={<Legend />}>
      <div class="scroll">
        <table class="figures">
          <thead>
            <tr>
              <th scope="col">wave</th>
              <th scope="col">state</th>
              <th scope="col" class="stretch">
                devices
              </th>
              <th scope="col" class="number">
                all
              </th>
              <th scope="col" class="number">
                committed
              </th>
              <th scope="col" class="number">
                failed
              </th>
              <th scope="col" class="number">
                rolled back
              </th>
              <th scope="col" class="number">
                out
              </th>
              <th scope="col" class="number wide">
                took
              </th>
            </tr>
          </thead>
          <tbody>
            {waves.map((wave, index) => (
              <tr key={index}>
                <th scope="row">{index + 1}</th>
                <td>
                  <Badge tone={toneOf[wave.state]}>{words(wave.state)}</Badge>
                </td>
                <td>
                  <Bar counts={wave} devices={wave.devices} />
                </td>
                <td class="number">{number(wave.devices)}</td>
                <td class="number">{number(wave.committed)}</td>
                <td class="number">{number(wave.failed)}</td>
                <td class="number">{number(wave.rolledBack)}</td>
                <td class="number">{number(wave.missed + wave.withdrawn + wave.restored)}</td>
                <td class="number wide">
                  {wave.opened === null ? '' : lasting((wave.ended ?? Date.now()) - wave.opened)}
                </td>
              </tr>
            ))}
          </tbody>
          {waves.length > 1 && (
            <tfoot>
              <tr>
                <th scope="row">all</th>
                <td />
                <td>
                  <Bar counts={counts} devices={devicesOf(rollout)} />
                </td>
                <td class="number">{number(devicesOf(rollout))}</td>
                <td class="number">{number(counts.committed)}</td>
                <td class="number">{number(counts.failed)}</td>
                <td class="number">{number(counts.rolledBack)}</td>
                <td class="number">{number(counts.missed + counts.withdrawn + counts.restored)}</td>
                <td class="wide" />
              </tr>
            </tfoot>
          )}
        </table>
      </div>
    </Section>
  );
}

function factsOf(rollout: RolloutStatus): [string, preact.ComponentChildren][] {
  const { id, releases, rollback, selector, policy, approvals, by, created, seconds, runs, saved } = rollout;
  const { maxFailures, minSuccess, soakMs, deadlineMs, offlineMs, onFailure, attempts, window } = policy;
  const running = runs.map(
    ({ name, version, devices }) =>
      `${name === null ? 'nothing' : `${name}@${version}`} on ${devices.toLocaleString('en')}`,
  );
  const then = onFailure === 'pause' ? 'nobody else begins' : 'all go back';
  return [
    ['id', <code key="id">{id}</code>],
    [
      'what',
      releases.map((r) => `${r.name}@${r.version} (${r.kind}, sequence ${r.sequence})`).join(', then '),
    ],
    ...(rollback ? [['way back', `${rollback.name}@${rollback.version}`] as [string, string]] : []),
    [
      'to',
      <span key="to">
        <a href={linkTo(['devices'], { selector })}>
          <code>{selector}</code>
        </a>{' '}
        <span class="soft">{plural(devicesOf(rollout), 'device')}</span>
      </span>,
    ],
    ['runs now', running.join(', ')],
    ...(saved.byDelta > 0
      ? [['deltas', `${plural(saved.byDelta, 'device')} took a patch`] as [string, string]]
      : []),
    ['gates', `at most ${maxFailures} of a wave fail, at least ${minSuccess} commit; else ${then}`],
    ...(soakMs > 0 ? [['soak', `each wave stays well for ${lasting(soakMs)}`] as [string, string]] : []),
    [
      'deadlines',
      `${lasting(deadlineMs)} from the offer; ${lasting(offlineMs ?? deadlineMs)} for who is not there`,
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
    ...(policy.requireProof ? [['proof', 'a commit counts only with a signature'] as [string, string]] : []),
    ['started', `${moment(created)} by ${by}`],
    ...approvals.map(({ who, at }): [string, string] => ['approved', `${moment(at)} by ${who}`]),
    ['took', lasting(seconds * 1000)],
  ];
}
