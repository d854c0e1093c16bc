import type { SealedEntry } from '../../../src/lib/api/index.js';
import { shownData } from '../../../src/lib/api/rollouts/words.js';
import { at } from '../../app/api.js';
import type { PageOf } from '../../app/pages.js';
import { useResource } from '../../app/resource.js';
import { goTo, here, route } from '../../app/route.js';
import { plural } from '../../app/text.js';
import { Command } from '../../parts/command.js';
import { Empty, Failure, Loading, Page } from '../../parts/page.js';
import { type Column, Table } from '../../parts/table.js';
import { When } from '../../parts/when.js';

/** Events that users cause, and denied attempts. The page reloads its data when one arrives. */
const changes = [
  ...[
    'access.*',
    'user.*',
    'token.*',
    'trust.*',
    'webhook.*',
    'backup.*',
    'model.*',
    'firmware.*',
    'config.*',
  ],
  ...['rollout.start', 'rollout.change', 'rollout.end', 'alarm.create', 'alarm.remove', 'alarm.acknowledge'],
  ...['device.provision', 'device.suspend', 'device.resume', 'device.revoke', 'device.remove', 'device.tag'],
];

/** Number of newest entries that the page shows. */
const most = 1000;

/** Changes with their authors, and denied attempts, newest first. */
export function Audit(_: PageOf) {
  const denied = route.value.query.get('only') === 'denied';
  const query = { newest: 'true', limit: most, ...(denied && { type: 'access.deny' }) };
  const { value, error } = useResource(at('GET /audit/log', {}, query), { events: changes });
  const rows = value && [...value.entries].reverse();
  return (
    <Page
      title="Audit"
      command={denied ? 'aiot audit list --type access.deny' : 'aiot audit list'}
      actions={
        <button
          type="button"
          aria-pressed={denied}
          onClick={() => goTo(here({ only: denied ? '' : 'denied' }))}
        >
          Denied attempts
        </button>
      }
    >
      {error && <Failure error={error} />}
      {!rows && !error && <Loading />}
      {rows && rows.length === 0 && (
        <Empty title={denied ? 'No denied attempts' : 'No entries yet'} command="aiot audit list">
          <p>
            {denied
              ? 'Requests and connections that are denied will be listed here.'
              : 'Changes to devices, users, models and rollouts will be listed here within a second.'}
          </p>
        </Empty>
      )}
      {value && rows && rows.length > 0 && (
        <>
          <p class="count">
            {rows.length >= most
              ? `the newest ${most.toLocaleString('en')} of ${value.head.seq.toLocaleString('en')} entries`
              : rows.length === 1
                ? '1 entry'
                : `${rows.length.toLocaleString('en')} entries`}
          </p>
          <Table rows={rows} columns={columns} keyOf={({ seq }) => String(seq)} label="Audit log" filter />
          <p class="soft">
            Each entry contains the hash of the one before it. To check on your own computer that the log is
            unchanged:
          </p>
          <Command line="aiot audit verify" />
        </>
      )}
    </Page>
  );
}

const columns: Column<SealedEntry>[] = [
  { title: 'entry', cell: ({ seq }) => seq, sort: ({ seq }) => seq, number: true, width: '72px', wide: true },
  { title: 'time', cell: ({ at }) => <When at={at} as="short" />, sort: ({ at }) => at, width: '128px' },
  {
    title: 'user',
    cell: ({ who }) => <span title={who}>{who}</span>,
    sort: ({ who }) => who,
    width: '1.2fr',
    wide: true,
  },
  { title: 'change', cell: ({ type }) => type, sort: ({ type }) => type, width: '150px' },
  {
    title: 'subject',
    cell: ({ subject }) => <span title={subject}>{subject}</span>,
    sort: ({ subject }) => subject,
    width: '1.4fr',
  },
  {
    title: 'details',
    cell: ({ data }) => (
      <span class="data" title={detailsOf(data)}>
        {detailsOf(data)}
      </span>
    ),
    sort: ({ data }) => detailsOf(data) || null,
    width: '2fr',
    wide: true,
  },
];

/** Details in one line, such as `reason not allowed · 3 times`. */
function detailsOf({ count, ...data }: SealedEntry['data']): string {
  const known = Object.entries(shownData(data)).filter(([, value]) => value !== null && value !== '');
  const texts = known.map(
    ([key, value]) => `${key} ${typeof value === 'object' ? JSON.stringify(value) : value}`,
  );
  return [...texts, ...(typeof count === 'number' && count > 1 ? [plural(count, 'time')] : [])].join(' · ');
}
