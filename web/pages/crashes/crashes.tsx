import type { CrashFrame, CrashGroup, CrashShown } from '../../../src/lib/api/index.js';
import { at } from '../../app/api.js';
import type { PageOf } from '../../app/pages.js';
import { useFirstDevice, useResource } from '../../app/resource.js';
import { linkTo } from '../../app/route.js';
import { plural, shellWord } from '../../app/text.js';
import { Empty, Facts, Failure, Loading, Page, Section } from '../../parts/page.js';
import { Scroll } from '../../parts/scroll.js';
import { type Column, Table } from '../../parts/table.js';
import { When } from '../../parts/when.js';

/** The groups of crashes, or one report with its group. */
export function Crashes({ parts }: PageOf) {
  const [id] = parts;
  return id === undefined ? <List /> : <One id={id} />;
}

/** Number of groups on the page, the one with the newest crash first. */
const listed = 500;

function List() {
  const { value, error } = useResource(at('GET /crashes', {}, { limit: listed }), {
    events: ['device.crash'],
  });
  const groups = value?.groups;
  return (
    <Page title="Crashes" command="aiot device crashes list">
      {error && <Failure error={error} />}
      {!groups && !error && <Loading />}
      {groups?.length === 0 && <None />}
      {groups && groups.length > 0 && (
        <>
          <p class="count">{plural(groups.length, 'group')}</p>
          <Table
            rows={groups}
            columns={columns}
            keyOf={({ signature }) => signature}
            label="Crashes"
            filter
          />
        </>
      )}
    </Page>
  );
}

function None() {
  const device = useFirstDevice();
  if (device === undefined) return <Loading />;
  return (
    <Empty title="No crashes" command={`aiot device call ${shellWord(device.name)} crash`}>
      <p>
        After a crash, a device sends a report when it reconnects. To try this with a virtual device, run:
      </p>
    </Empty>
  );
}

const columns: Column<CrashGroup>[] = [
  {
    title: 'reason',
    cell: ({ signature, reason }) => (
      <a href={linkTo(['crashes', signature])} title={reason}>
        {reason}
      </a>
    ),
    sort: ({ reason }) => reason,
    width: '2fr',
  },
  {
    title: 'in',
    cell: ({ place }) => <span title={placeOf(place)}>{placeOf(place)}</span>,
    sort: ({ place }) => placeOf(place),
    width: '2fr',
    wide: true,
  },
  {
    title: 'crashes',
    cell: ({ count }) => count.toLocaleString('en'),
    sort: ({ count }) => count,
    width: '80px',
  },
  {
    title: 'devices',
    cell: ({ devices }) => devices.toLocaleString('en'),
    sort: ({ devices }) => devices,
    width: '80px',
  },
  {
    title: 'versions',
    cell: ({ versions }) => <span title={versionsOf(versions)}>{versionsOf(versions)}</span>,
    sort: ({ versions }) => versionsOf(versions),
    width: '1fr',
    wide: true,
  },
  {
    title: 'last',
    cell: ({ last }) => <When at={last} as="ago" />,
    sort: ({ last }) => last,
    width: '120px',
  },
];

const crashCount = (count: number) => (count === 1 ? '1 crash' : `${count.toLocaleString('en')} crashes`);

function placeOf(place: CrashFrame | null): string {
  if (place === null) return '';
  const file = place.file?.split('/').at(-1);
  const where = file === undefined ? '' : ` ${file}${place.line === null ? '' : `:${place.line}`}`;
  return `${place.function ?? place.address ?? ''}${where}`;
}

const versionsOf = (versions: CrashGroup['versions']) =>
  versions
    .map(({ firmware, version }) => [firmware, version].filter(Boolean).join(' ') || 'unknown')
    .join(', ');

function One({ id }: { id: string }) {
  const { value, error } = useResource(at('GET /crashes/:id', { id }), { events: ['device.crash'] });
  return (
    <Page
      title={value?.report.reason ?? id}
      above={{ title: 'Crashes', to: linkTo(['crashes']) }}
      command={`aiot device crashes show ${shellWord(id)}`}
    >
      {error && <Failure error={error} />}
      {!value && !error && <Loading />}
      {value && <Report shown={value} />}
    </Page>
  );
}

function Report({ shown }: { shown: CrashShown }) {
  const { frames, report, others, group } = shown;
  return (
    <>
      <Facts facts={factsOf(shown)} />
      {frames.length > 0 && (
        <Section title="Calls, innermost first">
          <Calls frames={frames} label="Calls" />
        </Section>
      )}
      {report.registers && (
        <Section title="Registers">
          <p class="several">
            {Object.entries(report.registers).map(([name, value]) => (
              <code key={name}>
                {name} {value}
              </code>
            ))}
          </p>
        </Section>
      )}
      {(report.tasks ?? []).map(({ name, backtrace = [] }) => (
        <Section key={name} title={`Task ${name}`}>
          <Calls
            label={`Calls of task ${name}`}
            frames={backtrace.map((part) => ({
              address: part.address ?? null,
              function: part.function ?? null,
              file: part.file ?? null,
              line: part.line ?? null,
            }))}
          />
        </Section>
      ))}
      {report.log && report.log.length > 0 && (
        <Section title="Last log lines">
          <Scroll label="Last log lines">
            <pre>{report.log.join('\n')}</pre>
          </Scroll>
        </Section>
      )}
      <Section title={`${crashCount(group.count)} on ${plural(group.devices, 'device')}`}>
        <ul aria-label="Versions">
          {group.versions.map((version) => (
            <li key={`${version.firmware}@${version.version}`}>
              {versionsOf([version])}: {crashCount(version.count)} on {plural(version.devices, 'device')}
            </li>
          ))}
        </ul>
        {others.length > 0 && (
          <ul class="attention" aria-label="Other reports">
            {others.map((other) => (
              <li key={other.id}>
                <a href={linkTo(['crashes', other.id])}>{other.device}</a> <When at={other.at} as="ago" />
              </li>
            ))}
          </ul>
        )}
      </Section>
    </>
  );
}

function Calls({ frames, label }: { frames: readonly CrashFrame[]; label: string }) {
  return (
    <Scroll label={label}>
      <ol aria-label={label} start={0}>
        {frames.map(({ address, function: name, file, line }, index) => (
          <li key={index}>
            <code>{name ?? address ?? '??'}</code>{' '}
            <span class="soft">
              {file === null ? (name === null ? '' : address) : `${file}${line === null ? '' : `:${line}`}`}
            </span>
          </li>
        ))}
      </ol>
    </Scroll>
  );
}

function factsOf({ device, at: arrived, report, group }: CrashShown) {
  const { kind, firmware, t, uptimeMs, task, details } = report;
  const facts: [string, preact.ComponentChildren][] = [
    [
      'device',
      <a key="device" href={linkTo(['devices', device])}>
        {device}
      </a>,
    ],
    ['kind', kind],
    ['program', [firmware?.name, firmware?.version].filter(Boolean).join(' ') || 'unknown'],
    ['arrived', <When key="arrived" at={arrived} />],
    ['signature', <code key="signature">{group.signature}</code>],
  ];
  if (firmware?.build !== undefined) facts.push(['build', <code key="build">{firmware.build}</code>]);
  if (t !== undefined) facts.push(['crashed', <When key="crashed" at={t} />]);
  if (uptimeMs !== undefined) facts.push(['after', `${Math.round(uptimeMs / 1000).toLocaleString('en')} s`]);
  if (task !== undefined) facts.push(['task', task]);
  for (const [name, value] of Object.entries(details ?? {})) facts.push([name, String(value)]);
  return facts;
}
