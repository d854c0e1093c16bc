import { useSignal } from '@preact/signals';
import type { Enrollment } from '../../../src/lib/api/index.js';
import { ApiError, at, send } from '../../app/api.js';
import { useResource } from '../../app/resource.js';
import { isLimited, mayChange } from '../../app/session.js';
import { plural } from '../../app/text.js';
import { Badge } from '../../parts/badge.js';
import { Failure, Section } from '../../parts/page.js';
import { Scroll } from '../../parts/scroll.js';
import { type Column, ShortTable } from '../../parts/table.js';
import { When } from '../../parts/when.js';

/** Maximum number of waiting devices that are listed. */
const listed = 50;

/** Devices of batches that wait for approval, if there are any. Users whose rights are limited to some devices cannot see them. */
export function WaitingDevices() {
  const place = at('GET /enrollments', {}, { state: 'waiting', limit: listed });
  const { value, reload } = useResource(isLimited() ? null : place, {
    events: ['enrollment.*', 'batch.*'],
  });
  const failed = useSignal<ApiError | undefined>(undefined);
  const busy = useSignal(false);
  const devices = value?.enrollments ?? [];
  if (devices.length === 0 && !failed.value) return null;
  const decide = (action: 'approve' | 'reject', name: string) => {
    busy.value = true;
    send(at('POST /enrollments/decisions', {}), { action, names: [name] })
      .then(
        ({ devices: [decided] }) => {
          const error = decided?.error;
          failed.value = error ? new ApiError(error.code, error.message) : undefined;
          reload();
        },
        (error: ApiError) => {
          failed.value = error;
        },
      )
      .finally(() => {
        busy.value = false;
      });
  };
  return (
    <Section
      title="Waiting devices"
      note={value?.next ? `the first ${listed}` : plural(devices.length, 'device')}
    >
      {failed.value && <Failure error={failed.value} />}
      <Scroll label="Waiting devices">
        <ShortTable
          rows={devices}
          columns={mayChange() ? [...columns, decisionColumn(decide, busy.value)] : columns}
          keyOf={({ name }) => name}
          label="Waiting devices"
        />
      </Scroll>
    </Section>
  );
}

const columns: Column<Enrollment>[] = [
  { title: 'device', cell: ({ name }) => name, sort: ({ name }) => name, width: '1fr' },
  { title: 'type', cell: ({ type }) => type, sort: ({ type }) => type, width: '110px' },
  { title: 'MAC', cell: ({ mac }) => mac ?? '–', sort: ({ mac }) => mac ?? '', width: '150px', wide: true },
  {
    title: 'from',
    cell: ({ address }) => address,
    sort: ({ address }) => address,
    width: '130px',
    wide: true,
  },
  {
    title: 'last seen',
    cell: ({ seen }) => <When at={seen} as="ago" />,
    sort: ({ seen }) => seen,
    width: '110px',
  },
  {
    title: 'expected',
    cell: ({ expected, problem }) => (
      <>
        {expected !== null && <Badge tone={expected ? 'good' : 'warn'}>{expected ? 'yes' : 'no'}</Badge>}
        {problem && (
          <>
            {' '}
            <Badge tone="bad">problem</Badge> {problem}
          </>
        )}
      </>
    ),
    sort: ({ problem, expected }) => `${problem === null} ${expected}`,
    width: '1fr',
  },
];

function decisionColumn(
  decide: (action: 'approve' | 'reject', name: string) => void,
  isBusy: boolean,
): Column<Enrollment> {
  return {
    title: 'decision',
    sort: ({ name }) => name,
    cell: ({ name }) => (
      <div class="actions">
        {(['approve', 'reject'] as const).map((action) => (
          <button
            key={action}
            type="button"
            disabled={isBusy}
            aria-label={`${action === 'approve' ? 'Approve' : 'Reject'} ${name}`}
            onClick={() => decide(action, name)}
          >
            {action === 'approve' ? 'Approve' : 'Reject'}
          </button>
        ))}
      </div>
    ),
    width: '190px',
  };
}
