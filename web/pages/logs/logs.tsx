import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type { LogLine } from '../../../src/lib/api/index.js';
import type { PageOf } from '../../app/pages.js';
import { here, linkTo, route } from '../../app/route.js';
import { lasting, plural, shellWord } from '../../app/text.js';
import { Badge, type Tone } from '../../parts/badge.js';
import { Dialog } from '../../parts/dialog.js';
import { Empty, Facts, Failure, Loading, Page } from '../../parts/page.js';
import { type Column, Table } from '../../parts/table.js';
import { When } from '../../parts/when.js';
import { Filter, type Search, searchOf, startOf } from './filter.js';
import { most, type NumberedLine, useLines } from './lines.js';

const levelTones: Record<LogLine['level'], Tone> = {
  error: 'bad',
  warn: 'warn',
  info: 'blue',
  debug: 'soft',
};
const stateTones = { live: 'good', connecting: 'warn', interrupted: 'bad', past: 'soft' } as const;

/** Log lines of many devices, newest first. Without an end of the time range, new lines are added as they arrive. */
export function Logs(_: PageOf) {
  const search = searchOf(route.value.query);
  const { lines, state, error, earlier, toEnd } = useLines(search);
  const held = useSignal<readonly NumberedLine[] | null>(null);
  const shown = useSignal<NumberedLine | null>(null);
  const isLive = search.until === undefined;
  useEffect(() => {
    held.value = null;
  }, [search.key]);
  const rows = (isLive && held.value) || lines;
  const oldest = rows?.at(-1);
  return (
    <Page
      title="Logs"
      command={commandOf(search)}
      actions={
        isLive && (
          <button
            type="button"
            aria-pressed={held.value !== null}
            onClick={() => {
              held.value = held.value === null ? (lines ?? []) : null;
            }}
          >
            {held.value === null ? 'Pause' : 'Resume'}
          </button>
        )
      }
    >
      <Filter key={search.key} search={search} />
      {error ? (
        <Failure error={error} />
      ) : (
        <p class="count" role="status">
          <Badge tone={stateTones[state]}>{state}</Badge>
          {rows && rows.length > 0 && (
            <span>
              {rows.length >= most && 'latest '}
              {plural(rows.length, 'line')}
              {held.value && ', paused'}
            </span>
          )}
        </p>
      )}
      {!rows && !error && <Loading />}
      {rows?.length === 0 && !error && (
        <Empty
          title={toEnd ? 'No matching log lines' : 'No matching lines among the newest'}
          command="aiot device logs --since 7d"
        >
          <p>
            {isLive
              ? 'New matching lines appear here as they arrive. To see more, change the filter, or run:'
              : 'To see more, change the filter, or run:'}
          </p>
        </Empty>
      )}
      {rows && rows.length > 0 && (
        <Table
          rows={rows}
          columns={columnsOf((line) => {
            shown.value = line;
          })}
          keyOf={({ number }) => String(number)}
          label="Log lines"
        />
      )}
      {rows && !error && held.value === null && (
        <p class="more">
          {oldest && rows.length >= most ? (
            <>
              The page keeps {most.toLocaleString('en')} lines.{' '}
              <a href={here({ to: new Date(oldest.at).toISOString() })}>Show the lines before these</a>
            </>
          ) : toEnd ? (
            <span class="soft">No earlier lines in this time.</span>
          ) : (
            <button type="button" onClick={earlier.load} disabled={earlier.isLoading}>
              {earlier.isLoading ? 'Searching …' : 'Earlier lines'}
            </button>
          )}
        </p>
      )}
      {shown.value && (
        <One
          line={shown.value}
          onClose={() => {
            shown.value = null;
          }}
        />
      )}
    </Page>
  );
}

/**
 * The command that shows the same lines. An age before an end refers to that end, but in the command to the moment at which it runs, so
 * the command then contains times.
 */
export function commandOf(search: Search): string {
  const { selector, level, contains, since, until } = search;
  const isAge = typeof since === 'string' && until === undefined;
  return [
    'aiot device logs',
    ...(until === undefined ? ['--follow'] : []),
    ...(selector === '' ? [] : ['--selector', shellWord(selector)]),
    ...(level === 'debug' ? [] : ['--level', level]),
    ...(contains === '' ? [] : ['--contains', shellWord(contains)]),
    ...['--since', isAge ? since : new Date(startOf(search)).toISOString()],
    ...(until === undefined ? [] : ['--until', new Date(until).toISOString()]),
  ].join(' ');
}

function columnsOf(show: (line: NumberedLine) => void): Column<NumberedLine>[] {
  return [
    {
      title: 'time',
      cell: ({ at }) => <When at={at} as="short" />,
      sort: ({ at }) => at,
      width: 'min(128px, 21vw)',
    },
    {
      title: 'device',
      cell: ({ device }) => <a href={linkTo(['devices', device])}>{device}</a>,
      sort: ({ device }) => device,
      width: '1fr',
    },
    {
      title: 'message',
      cell: (line) => (
        <button type="button" class="link" onClick={() => show(line)}>
          <Badge tone={levelTones[line.level]}>{line.level}</Badge> {line.message.slice(0, 500)}
        </button>
      ),
      sort: ({ message }) => message,
      width: '2.4fr',
    },
    {
      title: 'code',
      cell: ({ code }) => code && <code>{code}</code>,
      sort: ({ code }) => code ?? null,
      width: '1fr',
      wide: true,
    },
  ];
}

/** All details of one line. */
function One({ line, onClose }: { line: NumberedLine; onClose: () => void }) {
  const { at, device, level, message, code, fields } = line;
  return (
    <Dialog title="Log line" onClose={onClose}>
      <Facts
        facts={[
          [
            'device',
            <a key="device" href={linkTo(['devices', device], { tab: 'log' })}>
              {device}
            </a>,
          ],
          ['time', <When key="time" at={at} />],
          ['age', lasting(Math.max(0, Date.now() - at))],
          [
            'level',
            <Badge key="level" tone={levelTones[level]}>
              {level}
            </Badge>,
          ],
          ...(code === undefined ? [] : ([['code', <code key="code">{code}</code>]] as const)),
        ]}
      />
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling area must be reachable by keyboard */}
      <pre class="whole" tabIndex={0}>
        {message}
        {Object.keys(fields).length > 0 && `\n\n${JSON.stringify(fields, null, 2)}`}
      </pre>
      <div class="choices">
        <button type="button" onClick={onClose}>
          Close
        </button>
      </div>
    </Dialog>
  );
}
