import { useSignal } from '@preact/signals';
import type { DeviceInfo } from '../../../src/lib/registry/index.js';
import type { PageOf } from '../../app/pages.js';
import { useResource } from '../../app/resource.js';
import { linkTo, route } from '../../app/route.js';
import { mayChange } from '../../app/session.js';
import { ago, moment, shellWord } from '../../app/text.js';
import { Badge, State } from '../../parts/badge.js';
import { Facts, Failure, Loading, Page } from '../../parts/page.js';
import { Changes } from './changes.js';
import { Commands } from './commands.js';
import { History } from './history.js';
import { Live } from './live.js';
import { Log } from './log.js';
import { Twin } from './twin.js';

const tabs = [
  {
    id: 'live',
    title: 'Live',
    command: (name: string) => `aiot device messages ${name} --channel telemetry`,
  },
  { id: 'state', title: 'Desired and reported', command: (name: string) => `aiot device show ${name}` },
  { id: 'log', title: 'Log', command: (name: string) => `aiot device messages ${name} --channel log` },
  { id: 'history', title: 'History', command: (name: string) => `aiot device history ${name}` },
] as const;

/** One device: what it sends just now, what it is to run and does, its log, and what was changed of it. */
export function Device({ parts: [name = ''] }: PageOf) {
  const { value, error } = useResource<DeviceInfo>(`/devices/${encodeURIComponent(name)}`, {
    events: ['device.*'],
    subject: name,
  });
  const said = useSignal<string>('');
  const wanted = route.value.query.get('tab');
  const tab = tabs.find(({ id }) => id === wanted) ?? tabs[0];
  const above = { title: 'Devices', to: linkTo(['devices']) };
  const command = tab.command(shellWord(name));
  if (!value) {
    return (
      <Page title={name} above={above} command={command}>
        {error ? <Failure error={error} /> : <Loading />}
      </Page>
    );
  }
  return (
    <Page
      title={name}
      above={above}
      command={command}
      actions={
        mayChange() && (
          <>
            <Commands device={value} onSaid={(text) => (said.value = text)} />
            <Changes device={value} />
          </>
        )
      }
    >
      {error && <Failure error={error} />}
      <p class="said" role="status">
        {said.value}
      </p>
      <Facts facts={factsOf(value)} />
      <nav class="tabs" aria-label="Of this device">
        {tabs.map(({ id, title }) => (
          <a
            key={id}
            href={linkTo(['devices', name], { tab: id === 'live' ? '' : id })}
            aria-current={id === tab.id ? 'page' : undefined}
          >
            {title}
          </a>
        ))}
      </nav>
      {tab.id === 'live' && <Live device={value} />}
      {tab.id === 'state' && <Twin name={name} />}
      {tab.id === 'log' && <Log name={name} />}
      {tab.id === 'history' && <History name={name} />}
    </Page>
  );
}

function factsOf(device: DeviceInfo) {
  const { state, online, lastSeen, type, firmware, model, updateState, tags, groups, expires, mac } = device;
  const labels = [
    ...Object.entries(tags).map(([key, value]) => `${key}=${value}`),
    ...groups.map((group) => `group ${group}`),
  ];
  const presence = online ? (
    <Badge tone="good">online</Badge>
  ) : (
    <span class="soft">{lastSeen === null ? 'never seen' : `offline, last seen ${ago(lastSeen)}`}</span>
  );
  return [
    [
      'state',
      <span key="state" class="several">
        <State state={state} /> {presence}
      </span>,
    ],
    ['type', [type, firmware && `firmware ${firmware}`, mac].filter(Boolean).join(' · ')],
    [
      'model',
      model ? (
        <>
          <a href={linkTo(['models', model.name, model.version])}>
            {model.name}@{model.version}
          </a>
          {updateState && <span class="soft"> {updateState}</span>}
        </>
      ) : (
        <span class="soft">none</span>
      ),
    ],
    ...(labels.length > 0 ? [['tags', labels.join(', ')] as const] : []),
    ...(expires === null ? [] : [['certificate', `until ${moment(expires)}`] as const]),
  ] as const;
}
