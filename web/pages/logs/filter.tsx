import { useSignal } from '@preact/signals';
import type { LogLine } from '../../../src/lib/api/index.js';
import { goTo, here } from '../../app/route.js';

/** The lines that the page's address asks for. */
export interface Search {
  selector: string;
  /** Least severe level. */
  level: LogLine['level'];
  contains: string;
  /** Earliest arrival: an age such as `24h`, or a time, ms since 1970. */
  since: string | number;
  /** Latest arrival, ms since 1970; undefined = new lines are shown too. */
  until: number | undefined;
  /** Equal for equal searches. */
  key: string;
}

const levels: readonly LogLine['level'][] = ['debug', 'info', 'warn', 'error'];
const ranges: readonly [string, string][] = [
  ['15m', 'last 15 minutes'],
  ['1h', 'last hour'],
  ['24h', 'last 24 hours'],
  ['7d', 'last 7 days'],
];
const usualRange = '24h';
const unitMs: Record<string, number> = { m: 60_000, h: 3_600_000, d: 86_400_000 };

/** The search in an address. Values that are invalid there, such as those of a mistyped link, are ignored. */
export function searchOf(query: URLSearchParams): Search {
  const from = timeIn(query.get('from'));
  const until = timeIn(query.get('to'));
  const range = query.get('since') ?? '';
  const search = {
    selector: query.get('selector') ?? '',
    level: levels.find((level) => level === query.get('level')) ?? 'debug',
    contains: (query.get('contains') ?? '').slice(0, 200),
    since: from ?? (/^\d{1,4}[mhd]$/.test(range) ? range : usualRange),
    until,
  };
  return { ...search, key: JSON.stringify(search) };
}

function timeIn(text: string | null): number | undefined {
  const time = Date.parse(text ?? '');
  return time >= 0 ? time : undefined;
}

/** Earliest arrival time of a search that begins now, ms since 1970. */
export function startOf({ since, until }: Search): number {
  if (typeof since === 'number') return since;
  const span = Number(since.slice(0, -1)) * (unitMs[since.slice(-1)] ?? 0);
  return Math.max(0, (until ?? Date.now()) - span);
}

/** Fields for the devices, level, text and time of the lines. The address contains them, so the search can be bookmarked. */
export function Filter({ search }: { search: Search }) {
  const isTimes = typeof search.since === 'number' || search.until !== undefined;
  const fields = useSignal({
    selector: search.selector,
    level: search.level as string,
    contains: search.contains,
    since: isTimes ? 'times' : String(search.since),
    from: isTimes ? fieldOf(startOf(search)) : '',
    to: search.until === undefined ? '' : fieldOf(search.until),
  });
  const change = (name: keyof typeof fields.value) => ({
    id: name,
    value: fields.value[name],
    onInput: ({ currentTarget }: { currentTarget: HTMLInputElement | HTMLSelectElement }) => {
      fields.value = { ...fields.value, [name]: currentTarget.value };
    },
  });
  const apply = (event: Event) => {
    event.preventDefault();
    const { selector, level, contains, since, from, to } = fields.value;
    const isBetween = since === 'times';
    goTo(
      here({
        selector: selector.trim(),
        level: level === 'debug' ? '' : level,
        contains: contains.trim(),
        since: isBetween || since === usualRange ? '' : since,
        from: isBetween ? timeOf(from) : '',
        to: isBetween ? timeOf(to) : '',
      }),
    );
  };
  const own = ranges.some(([value]) => value === fields.value.since);
  return (
    <search>
      <form class="filter logs" onSubmit={apply}>
        <div class="pair">
          <label for="selector">Devices</label>
          <input
            {...change('selector')}
            type="search"
            placeholder="bench-1, type=esp32 and site=hall"
            spellcheck={false}
            autocapitalize="off"
          />
        </div>
        <div class="pair">
          <label for="contains">Text</label>
          <input
            {...change('contains')}
            type="search"
            placeholder="wifi"
            maxLength={200}
            spellcheck={false}
            autocapitalize="off"
          />
        </div>
        <div class="pair">
          <label for="level">Level</label>
          <select {...change('level')}>
            <option value="debug">all</option>
            <option value="info">info or above</option>
            <option value="warn">warn or above</option>
            <option value="error">error</option>
          </select>
        </div>
        <div class="pair">
          <label for="since">Time</label>
          <select {...change('since')}>
            {ranges.map(([value, title]) => (
              <option key={value} value={value}>
                {title}
              </option>
            ))}
            {!own && fields.value.since !== 'times' && (
              <option value={fields.value.since}>last {fields.value.since}</option>
            )}
            <option value="times">between two times</option>
          </select>
        </div>
        {fields.value.since === 'times' && (
          <>
            <div class="pair">
              <label for="from">From</label>
              <input {...change('from')} type="datetime-local" step={1} />
            </div>
            <div class="pair">
              <label for="to">To</label>
              <input {...change('to')} type="datetime-local" step={1} />
            </div>
          </>
        )}
        <button type="submit">Filter</button>
      </form>
    </search>
  );
}

/** A time for a field, in the reader's time zone and to the second. */
function fieldOf(time: number): string {
  const local = time - new Date(time).getTimezoneOffset() * 60_000;
  return new Date(local).toISOString().slice(0, 19);
}

/** A field's time for the address, which readers in other time zones may open; empty = no limit. */
function timeOf(field: string): string {
  const time = new Date(field);
  return Number.isNaN(time.getTime()) ? '' : time.toISOString();
}
