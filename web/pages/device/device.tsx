import { useSignal } from '@preact/signals';
import type { DeviceInfo } from '../../../src/lib/api/index.js';
import { at } from '../../app/api.js';
import type { PageOf } from '../../app/pages.js';
import { useResource } from '../../app/resource.js';
import { linkTo, route } from '../../app/route.js';
import { mayChange } from '../../app/session.js';
import { shellWord } from '../../app/text.js';
import { Badge, State } from '../../parts/badge.js';
import { Facts, Failure, Loading, Page } from '../../parts/page.js';
import { When } from '../../parts/when.js';
import { Calls } from './calls.js';
import { Changes } from './changes.js';
import { Commands } from './commands.js';
import { SignalDrift } from './drift.js';
import { Live } from './live.js';
import { Log } from './log.js';
import { Settings } from './settings.js';
import { Twin } from './twin.js';
import { Values } from './values.js';

const tabs = [
  {
    id: 'live',
    title: 'Live',
    command: (name: string) => `aiot stream tail ${shellWord(`aiot:///aiot/v1/${name}/telemetry/#`)}`,
  },
  {
    id: 'state',
    title: 'Desired and reported',
    command: (name: string) => `aiot device show ${shellWord(name)}`,
  },
  {
    id: 'commands',
    title: 'Commands',
    command: (name: string) => `aiot device commands list ${shellWord(name)}`,
  },
  {
    id: 'settings',
    title: 'Settings',
    command: (name: string) => `aiot device settings show ${shellWord(name)}`,
  },
  { id: 'log', title: 'Logs', command: (name: string) => `aiot device logs ${shellWord(name)}` },
  { id: 'history', title: 'History', command: (name: string) => `aiot device history ${shellWord(name)}` },
] as const;

/** One device, with live telemetry, desired and reported state, commands, settings, log, and change history. */
export function Device({ parts: [name = ''] }: PageOf) {
  const { value, error } = useResource(at('GET /devices/:name', { name }), {
    events: ['device.*'],
    subject: name,
  });
  const notice = useSignal<string>('');
  const wanted = route.value.query.get('tab');
  const tab = tabs.find(({ id }) => id === wanted) ?? tabs[0];
  const above = { title: 'Devices', to: linkTo(['devices']) };
  const command = tab.command(name);
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
            <Commands device={value} onNotice={(text) => (notice.value = text)} />
            <Changes device={value} />
          </>
        )
      }
    >
      {error && <Failure error={error} />}
      <p class="said" role="status">
        {notice.value}
      </p>
      <Facts facts={factsOf(value)} />
      <nav class="tabs" aria-label="Device">
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
      {tab.id === 'state' && <Twin name={name} online={value.online} />}
      {tab.id === 'commands' && <Calls device={value} />}
      {tab.id === 'settings' && <Settings name={name} />}
      {tab.id === 'log' && <Log name={name} />}
      {tab.id === 'history' && <History name={name} />}
    </Page>
  );
}

function factsOf(device: DeviceInfo) {
  const { state, online, lastSeen, type, firmware, model, updateState, tags, groups, expires, mac, log } =
    device;
  const labels = [
    ...Object.entries(tags).map(([key, value]) => `${key}=${value}`),
    ...groups.map((group) => `group ${group}`),
  ];
  const presence = online ? (
    <Badge tone="good">online</Badge>
  ) : (
    <span class="soft">
      {lastSeen === null ? (
        'never seen'
      ) : (
        <>
          offline, last seen <When at={lastSeen} as="ago" />
        </>
      )}
    </span>
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
    ...(log ? [['log level', log.level] as const] : []),
    ...(expires === null
      ? []
      : [
          [
            'certificate',
            <span key="certificate">
              expires <When at={expires} />
            </span>,
          ] as const,
        ]),
  ] as const;
}

/** Change history of the device, with time and user, newest first. */
function History({ name }: { name: string }) {
  const { value, error } = useResource(at('GET /devices/:name/history', { name }, { limit: 200 }), {
    events: ['device.*'],
    subject: name,
  });
  if (error) return <Failure error={error} />;
  if (!value) return <Loading />;
  return (
    <>
      <p>
        <a href={linkTo(['history'], { selector: name })}>Presence and predictions over time</a>
      </p>
      <SignalDrift name={name} />
      <ol class="log">
        {value.entries.map(({ id, at, type, who, data }) => (
          <li key={id}>
            <When at={at} />
            <strong>{type.replace(/^device\./, '')}</strong>
            <span class="soft">by {who}</span>
            <Values of={data} />
          </li>
        ))}
      </ol>
    </>
  );
}
